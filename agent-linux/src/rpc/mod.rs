//! Serf's RPC over TCP.

//! Many nodes in one process, under virtual time and one seed.

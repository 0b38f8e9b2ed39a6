//! What a program can ask an agent on this machine, over the RPC that Serf's own clients speak:
//!
//! ```text
//! cargo run -p agent-linux --example rpc -- 127.0.0.1:7373
//! ```

use std::error::Error;

use agent_linux::rpc::client::{Client, Config, Record};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7373".to_owned());
    let client = Client::connect(&address, Config::default()).await?;
    for member in client.members().await? {
        println!("{} is {}", member.name, member.status);
    }
    let mut events = client.stream("user:greeting").await?;
    client.event(b"greeting", b"hello", false).await?;
    while let Some(received) = events.next().await? {
        if let Record::User(event) = received.record {
            println!("{}: {}", String::from_utf8_lossy(&event.name), String::from_utf8_lossy(&event.payload));
            break;
        }
    }
    client.stop(events).await?;
    Ok(())
}

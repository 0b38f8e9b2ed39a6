//! A program that is a member of its fleet, and handles `deploy` itself instead of by a script:
//!
//! ```text
//! cargo run -p agent-linux --example embedded -- one 127.0.0.1:7946
//! cargo run -p agent-linux --example embedded -- two 127.0.0.2:7946 127.0.0.1:7946
//! ```
//! Ctrl-C leaves in good order.

use std::error::Error;

use agent_linux::{Agent, Event, Filter, Setup};
use tokio::signal::ctrl_c;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(bind)) = (args.next(), args.next()) else {
        return Err("usage: embedded NAME ADDRESS:PORT [SEED]...".into());
    };
    let seeds: Vec<String> = args.collect();
    let agent =
        Agent::start(Setup { awaiting_first_join: !seeds.is_empty(), ..Setup::new(&name, bind.parse()?) })
            .await?;
    let events = agent.hub.subscribe(Filter::parse("user:deploy,query:version,member-join,member-failed")?);
    if !seeds.is_empty() {
        println!("{} have answered", agent.handle.join(seeds, false).await?);
    } else {
        // The first one sets what all are to run.
        agent.handle.event("deploy", "version 1", true).await?;
    }
    loop {
        tokio::select! {
            (event, missed) = events.next() => {
                if missed > 0 {
                    println!("{missed} events came faster than they were handled");
                }
                match &*event {
                    Event::User { payload, .. } => println!("deploying {}", String::from_utf8_lossy(payload)),
                    // Who asked may have gone by now.
                    Event::Query(question) => {
                        if let Err(refusal) = question.respond(env!("CARGO_PKG_VERSION").into()).await {
                            println!("{} has no answer: {refusal}", question.source);
                        }
                    }
                    Event::Member { kind, members } => {
                        members.iter().for_each(|member| println!("{}: {}", kind.as_str(), member.name));
                    }
                    _ => {}
                }
            }
            _ = ctrl_c() => break,
        }
    }
    agent.handle.leave().await?;
    println!("{:?}", agent.end.await?);
    Ok(())
}

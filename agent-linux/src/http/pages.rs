//! What each path answers.

use std::time::Duration;

use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::metrics::{self, Format};
use crate::agent::error::Refusal;
use crate::agent::figures::Figures;
use crate::agent::go_json;
use crate::agent::handle::Handle;
use crate::rpc::listing::Listing;
use crate::rpc::message::Member;

/// A run loop that takes longer to answer does not do its work.
const PATIENCE: Duration = Duration::from_secs(3);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// Answers a request, of which nothing but method, path and `Accept` is looked at.
pub(super) async fn answer<B>(request: &Request<B>, handle: &Handle) -> Response<String> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let told = "Only GET and HEAD are answered: nothing can be changed here\n";
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, told.to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let shown = match request.uri().path() {
        "/metrics" => figures(handle).await.map(|figures| {
            let format =
                Format::accepted(request.headers().get_all(ACCEPT).iter().map(HeaderValue::as_bytes));
            (format.content_type(), metrics::text(&figures, format))
        }),
        "/healthz" => health(handle).await.map(|told| (TEXT, told)),
        "/v1/members" => asked(handle.members()).await.map(|members| {
            let mut members: Vec<Member> = members.into_iter().map(Member::from).collect();
            members.sort_by(|a, b| a.name.cmp(&b.name));
            (JSON, go_json::encode(&Listing::new(&members)) + "\n")
        }),
        "/v1/info" => asked(handle.stats()).await.map(|stats| (JSON, go_json::encode(&stats) + "\n")),
        _ => {
            let told = "There are /metrics, /healthz, /v1/members and /v1/info\n";
            return page(StatusCode::NOT_FOUND, TEXT, told.to_owned());
        }
    };
    match shown {
        Ok((kind, text)) => page(StatusCode::OK, kind, text),
        Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
    }
}

/// What the agent sees, if it does its work and is to stay.
async fn health(handle: &Handle) -> Result<String, String> {
    let figures = figures(handle).await?;
    if figures.leaving {
        return Err("The agent is leaving".to_owned());
    }
    let [members, failed, left] =
        ["members", "members_failed", "members_left"].map(|metric| figures.number(metric));
    let alive = members.saturating_sub(failed + left);
    let joined = if alive > 1 { "yes" } else { "no, it knows of no other member that lives" };
    Ok(format!("running\nmembers: {alive} alive, {failed} failed, {left} left\njoined: {joined}\n"))
}

async fn figures(handle: &Handle) -> Result<Figures, String> {
    asked(handle.figures()).await
}

/// What the run loop says, if it does in time.
async fn asked<T>(answer: impl Future<Output = Result<T, Refusal>>) -> Result<T, String> {
    match timeout(PATIENCE, answer).await {
        Ok(Ok(told)) => Ok(told),
        Ok(Err(_)) => Err("The agent has ended".to_owned()),
        Err(_) => Err(format!("The agent has not answered within {} s", PATIENCE.as_secs())),
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<String> {
    let mut response = Response::new(text);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::handle::Request as Asked;

    /// What `/healthz` says of an agent whose run loop does this with each question.
    async fn health_of(mut answer: impl FnMut(Asked) + Send + 'static) -> (u16, String) {
        let (handle, mut requests) = Handle::new(1);
        tokio::spawn(async move {
            while let Some(asked) = requests.recv().await {
                answer(asked);
            }
        });
        let request = Request::builder().uri("/healthz").body(()).expect("a request");
        let response = super::answer(&request, &handle).await;
        (response.status().as_u16(), response.into_body())
    }

    #[tokio::test]
    async fn an_agent_that_leaves_is_not_well() {
        let leaving = |asked| {
            if let Asked::Figures { reply } = asked {
                let (numbers, timings) = (Vec::new(), Vec::new());
                let _ = reply.send(Figures { node: "a".to_owned(), leaving: true, numbers, timings });
            }
        };
        assert_eq!(health_of(leaving).await, (503, "The agent is leaving\n".to_owned()));
        assert_eq!(health_of(drop).await, (503, "The agent has ended\n".to_owned()));
    }

    #[tokio::test]
    async fn a_run_loop_that_stands_still_is_told_of() {
        let mut kept = Vec::new();
        let health = health_of(move |asked| kept.push(asked)).await;
        assert_eq!(health, (503, "The agent has not answered within 3 s\n".to_owned()));
    }
}

//! Downloads that go on where they were cut off, try again where that may help, and read no more than was promised.

use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, StatusCode, Uri, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy};

use crate::options::{Listener, Options, Progress, Trouble};
use crate::part::{Copied, Part};
use crate::{Error, Result};

/// A try that brought so many bytes is no failure: the next one goes on from there.
const WORTHWHILE: u64 = 1024 * 1024;

/// Fills the part from an address.
pub(crate) fn download(
    address: &str,
    part: &mut Part<'_>,
    options: &Options,
    listener: Listener<'_>,
) -> Result<(), Trouble> {
    let agent = agent(options).map_err(Trouble::Lasting)?;
    let mut failures = 0;
    // Beyond what was ever there: a server that sends the same bytes over and over does not get on.
    let mut furthest = part.done();
    let mut wait = options.first_wait;
    while part.missing() > 0 {
        let error = match attempt(&agent, address, part, listener) {
            Ok(()) => continue,
            Err(Trouble::Passing(error)) => error,
            Err(trouble) => return Err(trouble),
        };
        if part.done() >= furthest.saturating_add(WORTHWHILE) {
            furthest = part.done();
            failures = 0;
            wait = options.first_wait;
        } else {
            failures += 1;
        }
        let pause = match error {
            Error::Status {
                retry_after: Some(seconds),
                ..
            } => wait.max(Duration::from_secs(seconds)),
            _ => wait,
        };
        if failures > options.retries || pause > options.longest_wait {
            return Err(Trouble::Lasting(error));
        }
        listener(Progress::Retrying {
            reason: &error,
            wait: pause,
        });
        std::thread::sleep(pause);
        wait = (wait * 2).min(options.longest_wait);
    }
    Ok(())
}

/// One request. Without trouble, the part is full or was emptied for the next request.
fn attempt(
    agent: &Agent,
    address: &str,
    part: &mut Part<'_>,
    listener: Listener<'_>,
) -> Result<(), Trouble> {
    let mut request = agent.get(address);
    if part.done() > 0 {
        request = request.header(header::RANGE, format!("bytes={}-", part.done()));
    }
    let response = request.call().map_err(|error| no_answer(address, error))?;
    match response.status() {
        StatusCode::OK => whole(&response, part)?,
        StatusCode::PARTIAL_CONTENT => rest(&response, part)?,
        StatusCode::RANGE_NOT_SATISFIABLE if part.done() > 0 => {
            part.restart().map_err(Trouble::Fatal)?;
            return Err(Trouble::Passing(Error::Protocol {
                reason: "it does not have the rest of the file".to_owned(),
            }));
        }
        status => return Err(refusal(status, &response)),
    }
    let mut reader = response.into_body().into_reader();
    match part.copy(&mut reader, listener).map_err(Trouble::Fatal)? {
        Copied::All => Ok(()),
        Copied::Short => Err(Trouble::Passing(Error::Network {
            reason: format!("cut off after {} bytes", part.done()),
        })),
        Copied::Broken(error) => Err(Trouble::Passing(Error::Network {
            reason: format!("cut off after {} bytes: {error}", part.done()),
        })),
    }
}

/// An answer with the whole file: right in size where it says one.
fn whole(response: &Response<Body>, part: &mut Part<'_>) -> Result<(), Trouble> {
    check_length(response, part.entry().bytes)?;
    if part.done() > 0 {
        part.restart().map_err(Trouble::Fatal)?;
    }
    Ok(())
}

/// An answer with the rest of the file: exactly what is missing.
fn rest(response: &Response<Body>, part: &mut Part<'_>) -> Result<(), Trouble> {
    let value = response.headers().get(header::CONTENT_RANGE);
    let text = value
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let Some((start, total)) = content_range(text) else {
        part.restart().map_err(Trouble::Fatal)?;
        let reason = format!("a partial answer with Content-Range `{text}`");
        return Err(Trouble::Passing(Error::Protocol { reason }));
    };
    if let Some(found) = total.filter(|total| *total != part.entry().bytes) {
        let expected = part.entry().bytes;
        return Err(Trouble::Lasting(Error::WrongSize { expected, found }));
    }
    if start != part.done() {
        part.restart().map_err(Trouble::Fatal)?;
        let reason = format!("asked for another part of the file, it gives bytes from {start}");
        return Err(Trouble::Passing(Error::Protocol { reason }));
    }
    Ok(())
}

fn check_length(response: &Response<Body>, expected: u64) -> Result<(), Trouble> {
    match response.body().content_length() {
        Some(found) if found != expected => {
            Err(Trouble::Lasting(Error::WrongSize { expected, found }))
        }
        _ => Ok(()),
    }
}

/// Start and total of `bytes START-END/TOTAL`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.trim().parse().ok()?;
    match total.trim() {
        "*" => Some((start, None)),
        total => Some((start, Some(total.parse().ok()?))),
    }
}

fn refusal(status: StatusCode, response: &Response<Body>) -> Trouble {
    let value = response.headers().get(header::RETRY_AFTER);
    let seconds = value.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let error = Error::Status {
        status: status.as_u16(),
        retry_after: seconds,
    };
    match status.as_u16() {
        408 | 425 | 429 | 500 | 502 | 503 | 504 => Trouble::Passing(error),
        _ => Trouble::Lasting(error),
    }
}

fn no_answer(address: &str, error: ureq::Error) -> Trouble {
    let reason = error.to_string();
    match error {
        ureq::Error::HostNotFound | ureq::Error::BadUri(_) => {
            Trouble::Lasting(Error::Network { reason })
        }
        // Most often there is no network at all, and waiting only hides that.
        ureq::Error::Io(_) if !is_known(address) => Trouble::Lasting(Error::Network { reason }),
        ureq::Error::TooManyRedirects | ureq::Error::RedirectFailed => {
            Trouble::Lasting(Error::Protocol { reason })
        }
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
            Trouble::Passing(Error::Protocol { reason })
        }
        _ => Trouble::Passing(Error::Network { reason }),
    }
}

/// Whether the host of an address has an address of its own; a proxy may know hosts that this machine does not.
fn is_known(address: &str) -> bool {
    let uri: Option<Uri> = address.parse().ok();
    match uri.as_ref().and_then(Uri::host) {
        Some(host) if Proxy::try_from_env().is_none() => (host, 443).to_socket_addrs().is_ok(),
        _ => true,
    }
}

fn agent(options: &Options) -> Result<Agent> {
    let tls = TlsConfig::builder().root_certs(roots()?).build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("regraft-zoo/", env!("CARGO_PKG_VERSION")))
        .proxy(Proxy::try_from_env())
        .tls_config(tls)
        .timeout_connect(Some(options.timeout))
        .timeout_recv_response(Some(options.timeout))
        .timeout_per_read(Some(options.timeout))
        .build();
    Ok(config.into())
}

/// Mozilla's certificates, or those of `SSL_CERT_FILE`, which firms with a certificate of their own set.
fn roots() -> Result<RootCerts> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|path| !path.is_empty()) else {
        return Ok(RootCerts::WebPki);
    };
    let pem =
        std::fs::read(&path).map_err(Error::io("reading the certificates of", path.as_ref()))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    Ok(RootCerts::Specific(Arc::new(certificates.collect())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 0-9/*"), Some((0, None)));
        for text in [
            "",
            "bytes",
            "bytes */10",
            "bytes 5/10",
            "bytes -5-9/10",
            "items 5-9/10",
            "bytes 5-9/ten",
        ] {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}

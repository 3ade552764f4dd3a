//! An HTTP server on 127.0.0.1 that serves one file, and misbehaves as told.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the server does with one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// As a server should: 200, or 206 for a range.
    Well,
    /// As it should, but the connection breaks after so many bytes of the body.
    CutAfter(usize),
    /// 200 and the whole file, whatever range was asked for.
    IgnoreRange,
    /// The file without a length, until the connection closes; cut after so many bytes.
    Unsized(usize),
    /// 206 with another range than was asked for.
    WrongRange,
    /// 206 with this `Content-Range`.
    ContentRange(&'static str),
    /// 200 with this body.
    Body(Vec<u8>),
    /// 200 that announces this length and then sends the file and this many zeros.
    Announce { length: usize, more: usize },
    /// This status and these headers, with a short body.
    Status(u16, &'static str),
    /// A redirect to this address.
    Redirect(String),
    /// What is no HTTP.
    Garbage,
    /// The connection is closed at once.
    Close,
    /// Nothing for this long.
    Silence(Duration),
    /// As it should, but so slowly that others come in between.
    Slowly,
}

/// A running server; it serves until the test process ends.
pub struct Server {
    address: String,
    seen: Arc<Mutex<Vec<Option<u64>>>>,
}

impl Server {
    /// Serves `content`; the first requests are answered as listed, the last answer is for all that follow.
    pub fn new(content: &[u8], answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (content, answers, requests) =
            (content.to_owned(), answers.to_owned(), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (content, answers, seen) =
                    (content.clone(), answers.clone(), Arc::clone(&requests));
                std::thread::spawn(move || {
                    let _ = serve(stream.unwrap(), &content, &answers, &seen);
                });
            }
        });
        Self { address, seen }
    }

    pub fn address(&self, file: &str) -> String {
        format!("{}/{file}", self.address)
    }

    /// Of each request so far, where its range starts, if it asked for one.
    pub fn ranges(&self) -> Vec<Option<u64>> {
        self.seen.lock().unwrap().clone()
    }

    pub fn requests(&self) -> usize {
        self.ranges().len()
    }
}

fn serve(
    mut stream: TcpStream,
    content: &[u8],
    answers: &[Answer],
    seen: &Mutex<Vec<Option<u64>>>,
) -> std::io::Result<()> {
    let start = read_range(&stream)?;
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(start);
        seen.len()
    };
    let answer = answers
        .get(number - 1)
        .or(answers.last())
        .unwrap_or(&Answer::Well);
    match answer {
        Answer::Well => send(&mut stream, content, start, usize::MAX),
        Answer::CutAfter(bytes) => send(&mut stream, content, start, *bytes),
        Answer::IgnoreRange => send(&mut stream, content, None, usize::MAX),
        Answer::Unsized(bytes) => {
            head(&mut stream, "200 OK", "")?;
            stream.write_all(&content[..*bytes.min(&content.len())])
        }
        Answer::WrongRange => {
            let range = format!(
                "Content-Range: bytes 1-{}/{}\r\n",
                content.len() - 1,
                content.len()
            );
            head(&mut stream, "206 Partial Content", &range)?;
            stream.write_all(&content[1..])
        }
        Answer::ContentRange(value) => {
            head(
                &mut stream,
                "206 Partial Content",
                &format!("Content-Range: {value}\r\n"),
            )?;
            stream.write_all(content)
        }
        Answer::Body(body) => send(&mut stream, body, None, usize::MAX),
        Answer::Announce { length, more } => {
            head(
                &mut stream,
                "200 OK",
                &format!("Content-Length: {length}\r\n"),
            )?;
            stream.write_all(content)?;
            stream.write_all(&vec![0; *more])
        }
        Answer::Status(code, headers) => {
            head(&mut stream, &format!("{code} No"), headers)?;
            stream.write_all(b"no")
        }
        Answer::Redirect(to) => head(
            &mut stream,
            "302 Found",
            &format!("Location: {to}\r\nContent-Length: 0\r\n"),
        ),
        Answer::Garbage => stream.write_all(b"what do you want?\r\n\r\n"),
        Answer::Close => Ok(()),
        Answer::Silence(time) => {
            std::thread::sleep(*time);
            Ok(())
        }
        Answer::Slowly => {
            std::thread::sleep(Duration::from_millis(300));
            send(&mut stream, content, start, usize::MAX)
        }
    }
}

fn read_range(stream: &TcpStream) -> std::io::Result<Option<u64>> {
    let mut start = None;
    for line in BufReader::new(stream).lines() {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = range.trim_end_matches('-').parse().ok();
        }
    }
    Ok(start)
}

fn head(stream: &mut TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n"
    )
}

fn send(
    stream: &mut TcpStream,
    content: &[u8],
    start: Option<u64>,
    cut: usize,
) -> std::io::Result<()> {
    let total = content.len();
    let body = match start {
        Some(start) if start as usize >= total => {
            return head(stream, "416 Range Not Satisfiable", "Content-Length: 0\r\n");
        }
        Some(start) => {
            let body = &content[start as usize..];
            let headers = format!(
                "Content-Length: {}\r\nContent-Range: bytes {start}-{}/{total}\r\n",
                body.len(),
                total - 1
            );
            head(stream, "206 Partial Content", &headers)?;
            body
        }
        None => {
            head(stream, "200 OK", &format!("Content-Length: {total}\r\n"))?;
            content
        }
    };
    stream.write_all(&body[..cut.min(body.len())])
}

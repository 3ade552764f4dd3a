//! Nothing wrong is ever used, nothing that came is lost.

use std::time::{Duration, Instant};

use regraft_zoo::{Error, Progress, fetch};

use crate::scene::{Scene, assert_right, content, entry, reason};
use crate::server::{Answer, Server};

#[test]
fn a_good_server_is_asked_once() {
    let (scene, server) = (Scene::new(), Server::new(&content(), &[Answer::Well]));
    let path = scene.from(&server).unwrap();
    assert_right(&path, &content());
    assert_eq!(scene.from(&server).unwrap(), path);
    assert_eq!(server.ranges(), [None]);
}

#[test]
fn a_cut_download_goes_on_with_a_range() {
    let answers = [
        Answer::CutAfter(100_000),
        Answer::CutAfter(50_000),
        Answer::Well,
    ];
    let (scene, server) = (Scene::new(), Server::new(&content(), &answers));
    assert_right(&scene.from(&server).unwrap(), &content());
    assert_eq!(server.ranges(), [None, Some(100_000), Some(150_000)]);
}

#[test]
fn what_another_run_left_is_gone_on_from() {
    let (scene, server) = (Scene::new(), Server::new(&content(), &[Answer::Well]));
    let entry = entry(&content(), &[&server.address("net.onnx")]);
    scene.leave_part(&entry, &content()[..200_000]);
    assert_right(&scene.fetch(&entry).unwrap(), &content());
    assert_eq!(server.ranges(), [Some(200_000)]);
}

#[test]
fn a_full_part_needs_no_server() {
    let (scene, server) = (Scene::new(), Server::new(&content(), &[Answer::Close]));
    let entry = entry(&content(), &[&server.address("net.onnx")]);
    scene.leave_part(&entry, &content());
    assert_right(&scene.fetch(&entry).unwrap(), &content());
    assert_eq!(server.requests(), 0);
}

#[test]
fn a_part_of_other_bytes_is_replaced() {
    for length in [1000, 300_000, 400_000] {
        let (scene, server) = (Scene::new(), Server::new(&content(), &[Answer::Well]));
        let entry = entry(&content(), &[&server.address("net.onnx")]);
        scene.leave_part(&entry, &vec![7; length]);
        assert_right(&scene.fetch(&entry).unwrap(), &content());
        assert_eq!(server.ranges().last(), Some(&None), "{length}");
    }
}

#[test]
fn what_came_is_kept_when_all_tries_fail() {
    let (mut scene, server) = (
        Scene::new(),
        Server::new(&content(), &[Answer::CutAfter(1000)]),
    );
    scene.options.retries = 2;
    let entry = entry(&content(), &[&server.address("net.onnx")]);
    assert!(matches!(reason(scene.fetch(&entry)), Error::Network { .. }));
    assert!(scene.options.cache.complete(&entry).is_none());
    assert_eq!(
        std::fs::read(scene.part(&entry)).unwrap(),
        content()[..3000]
    );
    assert_eq!(server.ranges(), [None, Some(1000), Some(2000)]);
}

#[test]
fn a_server_that_ignores_ranges_sends_it_all_again() {
    let answers = [Answer::CutAfter(100_000), Answer::IgnoreRange];
    let (scene, server) = (Scene::new(), Server::new(&content(), &answers));
    assert_right(&scene.from(&server).unwrap(), &content());
    assert_eq!(server.requests(), 2);
}

#[test]
fn a_wrong_range_is_not_appended() {
    for wrong in [
        Answer::WrongRange,
        Answer::ContentRange("nonsense"),
        Answer::ContentRange("bytes 7-9/*"),
    ] {
        let answers = [Answer::CutAfter(100_000), wrong, Answer::Well];
        let (scene, server) = (Scene::new(), Server::new(&content(), &answers));
        assert_right(&scene.from(&server).unwrap(), &content());
        assert_eq!(server.ranges(), [None, Some(100_000), None]);
    }
}

#[test]
fn a_partial_answer_about_another_file_is_given_up() {
    let answers = [
        Answer::CutAfter(1000),
        Answer::ContentRange("bytes 1000-4999/5000"),
    ];
    let (scene, server) = (Scene::new(), Server::new(&content(), &answers));
    let wrong = reason(scene.from(&server));
    assert!(
        matches!(
            wrong,
            Error::WrongSize {
                expected: 300_000,
                found: 5000
            }
        ),
        "{wrong}"
    );
}

#[test]
fn a_wrong_body_is_never_used() {
    let mut wrong = content();
    wrong[123_456] ^= 1;
    let (scene, server) = (Scene::new(), Server::new(&wrong, &[Answer::Well]));
    let entry = entry(&content(), &[&server.address("net.onnx")]);
    assert!(matches!(
        reason(scene.fetch(&entry)),
        Error::WrongDigest { .. }
    ));
    assert!(!scene.options.cache.path(&entry).exists());
    assert_eq!(std::fs::read(scene.part(&entry)).unwrap(), b"");
}

#[test]
fn another_size_is_refused_before_it_is_read() {
    // A Git LFS pointer or an error page where the file should be, and a file that never ends.
    for answer in [
        Answer::Body(b"version https://git-lfs".to_vec()),
        Answer::Announce {
            length: 1 << 40,
            more: 9,
        },
    ] {
        let (scene, server) = (Scene::new(), Server::new(&content(), &[answer]));
        let entry = entry(&content(), &[&server.address("net.onnx")]);
        assert!(matches!(
            reason(scene.fetch(&entry)),
            Error::WrongSize { .. }
        ));
        assert_eq!(server.requests(), 1);
        assert_eq!(scene.part(&entry).metadata().unwrap().len(), 0);
    }
}

#[test]
fn no_byte_more_than_promised_is_kept() {
    let mut longer = content();
    longer.extend([1; 5000]);
    let (scene, server) = (
        Scene::new(),
        Server::new(&longer, &[Answer::Unsized(usize::MAX)]),
    );
    assert_right(&scene.from(&server).unwrap(), &content());
}

#[test]
fn a_body_without_length_that_ends_early_is_not_the_file() {
    let answers = [Answer::Unsized(1000), Answer::Well];
    let (scene, server) = (Scene::new(), Server::new(&content(), &answers));
    assert_right(&scene.from(&server).unwrap(), &content());
    assert_eq!(server.ranges(), [None, Some(1000)]);
}

#[test]
fn a_short_body_under_the_right_length_is_not_the_file() {
    let mut scene = Scene::new();
    scene.options.retries = 1;
    let server = Server::new(
        &content()[..1000],
        &[Answer::Announce {
            length: 300_000,
            more: 0,
        }],
    );
    assert!(matches!(reason(scene.from(&server)), Error::Network { .. }));
}

#[test]
fn a_busy_server_is_asked_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let answers = [
            Answer::Status(status, ""),
            Answer::Status(status, ""),
            Answer::Well,
        ];
        let (scene, server) = (Scene::new(), Server::new(&content(), &answers));
        assert_right(&scene.from(&server).unwrap(), &content());
        assert_eq!(server.requests(), 3);
    }
}

#[test]
fn retry_after_is_honoured_within_bounds() {
    let answers = [Answer::Status(429, "Retry-After: 1\r\n"), Answer::Well];
    let (scene, server) = (Scene::new(), Server::new(&content(), &answers));
    let start = Instant::now();
    assert_right(&scene.from(&server).unwrap(), &content());
    assert!(start.elapsed() >= Duration::from_secs(1));

    let (scene, server) = (
        Scene::new(),
        Server::new(&content(), &[Answer::Status(429, "Retry-After: 3600\r\n")]),
    );
    let message = scene.from(&server).unwrap_err().to_string();
    assert!(
        message.contains("the server answers 429 and asks to wait 3600 s"),
        "{message}"
    );
    assert_eq!(server.requests(), 1);
}

#[test]
fn a_refusal_is_final() {
    for status in [400, 401, 403, 404, 410] {
        let (scene, server) = (
            Scene::new(),
            Server::new(&content(), &[Answer::Status(status, "")]),
        );
        assert!(
            matches!(reason(scene.from(&server)), Error::Status { status: found, .. } if found == status)
        );
        assert_eq!(server.requests(), 1);
    }
}

#[test]
fn retries_are_bounded() {
    for answer in [
        Answer::Close,
        Answer::Garbage,
        Answer::Status(500, ""),
        Answer::ContentRange("x"),
    ] {
        let (mut scene, server) = (Scene::new(), Server::new(&content(), &[answer]));
        scene.options.retries = 2;
        reason(scene.from(&server));
        assert_eq!(server.requests(), 3);
    }
}

/// Three mebibytes that no test reads to their end.
fn long() -> Vec<u8> {
    content().into_iter().cycle().take(3 << 20).collect()
}

#[test]
fn a_try_that_brings_much_does_not_count() {
    let answers = [
        Answer::CutAfter(1 << 20),
        Answer::CutAfter(1 << 20),
        Answer::CutAfter(1 << 19),
        Answer::Well,
    ];
    let (mut scene, server) = (Scene::new(), Server::new(&long(), &answers));
    scene.options.retries = 1;
    assert_right(
        &scene
            .fetch(&entry(&long(), &[&server.address("net.onnx")]))
            .unwrap(),
        &long(),
    );
}

#[test]
fn a_server_that_never_gets_on_is_given_up() {
    let round = [Answer::CutAfter(2 << 20), Answer::WrongRange];
    let answers: Vec<Answer> = round.into_iter().cycle().take(100).collect();
    let (scene, server) = (Scene::new(), Server::new(&long(), &answers));
    reason(scene.fetch(&entry(&long(), &[&server.address("net.onnx")])));
    assert_eq!(server.requests(), 6);
}

#[test]
fn a_silent_server_is_left() {
    let silence = Answer::Silence(Duration::from_secs(3));
    let (mut scene, server) = (
        Scene::new(),
        Server::new(&content(), &[silence, Answer::Well]),
    );
    scene.options.timeout = Duration::from_millis(200);
    let start = Instant::now();
    assert_right(&scene.from(&server).unwrap(), &content());
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn redirects_keep_the_range() {
    let good = Server::new(&content(), &[Answer::Well]);
    let door = Server::new(b"", &[Answer::Redirect(good.address("elsewhere"))]);
    let scene = Scene::new();
    let entry = entry(&content(), &[&door.address("net.onnx")]);
    scene.leave_part(&entry, &content()[..5]);
    assert_right(&scene.fetch(&entry).unwrap(), &content());
    assert_eq!(good.ranges(), [Some(5)]);
}

#[test]
fn redirects_in_a_circle_end() {
    let first = Server::new(b"", &[Answer::Redirect("/again".to_owned())]);
    assert!(matches!(
        reason(Scene::new().from(&first)),
        Error::Protocol { .. }
    ));
}

#[test]
fn mirrors_are_tried_in_order() {
    let mut wrong = content();
    wrong[0] ^= 1;
    let (scene, dead) = (
        Scene::new(),
        Server::new(&content(), &[Answer::Status(404, "")]),
    );
    let (bad, good) = (
        Server::new(&wrong, &[Answer::Well]),
        Server::new(&content(), &[Answer::Well]),
    );
    let addresses = [&dead, &bad, &good].map(|server| server.address("net.onnx"));
    let entry = entry(&content(), &addresses.each_ref().map(String::as_str));
    let mut failed = Vec::new();
    let path = fetch(&entry, &scene.options, &mut |progress| {
        if let Progress::Failed { source, .. } = progress {
            failed.push(source.to_owned());
        }
    });
    assert_right(&path.unwrap(), &content());
    assert_eq!(failed, addresses[..2]);
}

#[test]
fn a_mirror_goes_on_where_the_first_was_cut() {
    let mut scene = Scene::new();
    scene.options.retries = 0;
    let (first, second) = (
        Server::new(&content(), &[Answer::CutAfter(1000)]),
        Server::new(&content(), &[Answer::Well]),
    );
    let entry = entry(&content(), &[&first.address("a"), &second.address("b")]);
    assert_right(&scene.fetch(&entry).unwrap(), &content());
    assert_eq!(second.ranges(), [Some(1000)]);
}

#[test]
fn a_mirror_is_not_blamed_for_wrong_bytes_of_the_first() {
    let mut scene = Scene::new();
    scene.options.retries = 0;
    let first = Server::new(&[7; 300_000], &[Answer::CutAfter(1000)]);
    let second = Server::new(&content(), &[Answer::Well]);
    let entry = entry(&content(), &[&first.address("a"), &second.address("b")]);
    assert_right(&scene.fetch(&entry).unwrap(), &content());
    assert_eq!(second.ranges(), [Some(1000), None]);
}

#[test]
fn without_a_network_the_message_says_what_to_do() {
    let scene = Scene::new();
    let entry = entry(&content(), &["https://no-such-host.invalid/net.onnx"]);
    let start = Instant::now();
    let message = scene.fetch(&entry).unwrap_err().to_string();
    assert!(start.elapsed() < scene.options.timeout);
    let place = scene.options.cache.by_hand(&entry).display().to_string();
    for part in [
        "could not fetch `net`",
        "https://no-such-host.invalid/net.onnx",
        "no connection",
        &place,
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn progress_ends_at_the_promised_size() {
    let answers = [Answer::CutAfter(100_000), Answer::Well];
    let (scene, server) = (Scene::new(), Server::new(&content(), &answers));
    let entry = entry(&content(), &[&server.address("net.onnx")]);
    let (mut last, mut retries) = (0, 0);
    let listener = &mut |progress: Progress<'_>| match progress {
        Progress::Bytes { done, total } => {
            assert!(done >= last && total == 300_000);
            last = done;
        }
        Progress::Retrying { .. } => retries += 1,
        _ => {}
    };
    fetch(&entry, &scene.options, listener).unwrap();
    assert_eq!((last, retries), (300_000, 1));
}

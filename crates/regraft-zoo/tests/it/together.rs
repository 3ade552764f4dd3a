//! Several at once: threads, processes, and many files.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use regraft_zoo::{Cache, Digest, Manifest, Options, Progress, fetch, fetch_all};

use crate::scene::{Scene, assert_right, content, entry};
use crate::server::{Answer, Server};

/// What the child process of a test is told, and by which name.
const CHILD: [&str; 2] = ["REGRAFT_ZOO_TEST_CACHE", "REGRAFT_ZOO_TEST_ADDRESS"];

#[test]
fn threads_that_want_the_same_file_fetch_it_once() {
    let (scene, server) = (Scene::new(), Server::new(&content(), &[Answer::Slowly]));
    let entry = entry(&content(), &[&server.address("net.onnx")]);
    let waited = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let listener = &mut |progress: Progress<'_>| {
                    if matches!(progress, Progress::Waiting) {
                        waited.fetch_add(1, Ordering::Relaxed);
                    }
                };
                let path = fetch(&entry, &scene.options, listener).unwrap();
                assert_right(&path, &content());
            });
        }
    });
    assert_eq!(server.requests(), 1);
    assert!(waited.load(Ordering::Relaxed) > 0);
}

#[test]
fn processes_that_want_the_same_file_fetch_it_once() {
    let (scene, server) = (Scene::new(), Server::new(&content(), &[Answer::Slowly]));
    let child = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "together::a_process_of_its_own"]);
        command
            .env(CHILD[0], scene.options.cache.root())
            .env(CHILD[1], server.address("net.onnx"));
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let mut children = [child(), child(), child()];
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(server.requests(), 1);
    let entry = entry(&content(), &[]);
    assert_right(&scene.options.cache.verify(&entry).unwrap(), &content());
}

/// Does nothing by itself: the test above runs it as a process.
#[test]
fn a_process_of_its_own() {
    let [Some(cache), Some(address)] = CHILD.map(std::env::var_os) else {
        return;
    };
    let entry = entry(&content(), &[address.to_str().unwrap()]);
    let mut options = Options::new(Cache::new(cache));
    options.first_wait = std::time::Duration::from_millis(1);
    fetch(&entry, &options, &mut |_| {}).unwrap();
}

#[test]
fn a_process_killed_while_it_loads_leaves_a_part_to_go_on_from() {
    let stuck = [
        Answer::CutAfter(100_000),
        Answer::Silence(std::time::Duration::from_secs(20)),
        Answer::Well,
    ];
    let (scene, server) = (Scene::new(), Server::new(&content(), &stuck));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "together::a_process_of_its_own"]);
    command
        .env(CHILD[0], scene.options.cache.root())
        .env(CHILD[1], server.address("net.onnx"));
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    for _ in 0..500 {
        if server.requests() == 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_right(&scene.from(&server).unwrap(), &content());
    assert_eq!(server.ranges(), [None, Some(100_000), Some(100_000)]);
}

#[test]
fn many_files_come_in_their_order_and_within_the_limit() {
    let servers: Vec<Server> = (0..6)
        .map(|number| match number {
            3 => Server::new(b"", &[Answer::Status(404, "")]),
            _ => Server::new(format!("model {number}").as_bytes(), &[Answer::Slowly]),
        })
        .collect();
    let models = servers.iter().enumerate().map(|(number, server)| {
        let sha256 = Digest::of(format!("model {number}").as_bytes());
        let address = server.address("x");
        format!("[[model]]\nname = \"m{number}\"\nbytes = 7\nsha256 = \"{sha256}\"\nsources = [\"{address}\"]\n")
    });
    let manifest = Manifest::parse(&models.collect::<String>()).unwrap();
    let mut scene = Scene::new();
    scene.options.parallel = 2;
    let running = Mutex::new((std::collections::BTreeSet::new(), 0));
    let entries: Vec<_> = manifest.entries().iter().collect();
    let results = fetch_all(&entries, &scene.options, &|entry, progress| {
        let (now, most) = &mut *running.lock().unwrap();
        match progress {
            Progress::Trying { .. } => now.insert(entry.name.clone()),
            Progress::Bytes { done, total } if done == total => now.remove(&entry.name),
            Progress::Failed { .. } => now.remove(&entry.name),
            _ => false,
        };
        *most = now.len().max(*most);
    });
    assert_eq!(running.lock().unwrap().1, 2);
    assert_eq!(results.len(), 6);
    for (number, result) in results.iter().enumerate() {
        match (number, result) {
            (3, result) => assert!(result.is_err()),
            (_, result) => assert_eq!(
                std::fs::read(result.as_ref().unwrap()).unwrap(),
                format!("model {number}").as_bytes()
            ),
        }
    }
    assert!(fetch_all(&[], &scene.options, &|_, _| {}).is_empty());
}

/// The test process, fetching one file as `a_process_of_its_own`, started by a shell that does this first.
#[cfg(unix)]
fn shell(scene: &Scene, address: &str, first: &str) -> bool {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("{first}; exec \"$0\" --exact together::a_process_of_its_own"),
    ]);
    command.arg(std::env::current_exe().unwrap());
    command
        .env(CHILD[0], scene.options.cache.root())
        .env(CHILD[1], address);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().success()
}

#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing() {
    let (scene, server) = (Scene::new(), Server::new(&content(), &[Answer::Well]));
    // No file may grow beyond 100 blocks of 512 bytes or a kibibyte, as the shell has it; writing more is an error.
    assert!(!shell(
        &scene,
        &server.address("net.onnx"),
        "trap '' XFSZ; ulimit -f 100"
    ));
    assert!(
        scene
            .options
            .cache
            .complete(&entry(&content(), &[]))
            .is_none()
    );
    assert_right(&scene.from(&server).unwrap(), &content());
    let [None, Some(kept)] = server.ranges()[..] else {
        panic!("{:?}", server.ranges())
    };
    assert!([51_200, 102_400].contains(&kept), "{kept}");
}

#[cfg(unix)]
#[test]
fn proxies_of_the_environment_are_asked() {
    let (scene, proxy) = (Scene::new(), Server::new(b"", &[Answer::Status(403, "")]));
    let first = format!("export ALL_PROXY={}", proxy.address(""));
    assert!(!shell(&scene, "http://models.invalid/net.onnx", &first));
    assert!(proxy.requests() > 0);
}

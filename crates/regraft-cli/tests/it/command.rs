//! The `regraft` binary as a command, and what became of it.

use std::ffi::OsStr;
use std::process::Output;

/// `regraft` with words.
pub struct Command(std::process::Command);

/// A command that ended.
pub struct Ended(Output);

impl Command {
    pub fn regraft() -> Self {
        Self(std::process::Command::new(env!("CARGO_BIN_EXE_regraft")))
    }

    pub fn current_dir(&mut self, folder: &std::path::Path) -> &mut Self {
        self.0.current_dir(folder);
        self
    }

    pub fn arg(&mut self, word: impl AsRef<OsStr>) -> &mut Self {
        self.0.arg(word);
        self
    }

    pub fn args(&mut self, words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.0.args(words);
        self
    }

    pub fn env(&mut self, name: &str, value: impl AsRef<OsStr>) -> &mut Self {
        self.0.env(name, value);
        self
    }

    pub fn output(&mut self) -> std::io::Result<Output> {
        self.0.output()
    }

    /// Runs it to its end.
    pub fn assert(&mut self) -> Ended {
        Ended(self.0.output().unwrap())
    }
}

impl Ended {
    #[track_caller]
    pub fn success(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        let said = String::from_utf8_lossy(&self.0.stderr);
        assert_eq!(self.0.status.code(), Some(code), "{said}");
        self
    }

    pub fn get_output(&self) -> &Output {
        &self.0
    }
}

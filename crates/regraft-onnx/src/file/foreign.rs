//! What a file is that was called an ONNX model and is none: by its first bytes, and how to get from it to an ONNX model.

/// How a file begins that is no ONNX model, and what it is.
const KNOWN: &[(&[u8], &str)] = &[
    (
        b"version https://git-lfs",
        "it is a pointer of Git LFS, not the file that it points to; run `git lfs pull`, or download the file itself",
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        "it is an HDF5 file, as Keras saves models; load it in Keras and write ONNX with `model.export(\"model.onnx\", format=\"onnx\")` or tf2onnx",
    ),
    (
        b"\x1f\x8b",
        "it is compressed with gzip; unpack it with `gunzip`",
    ),
    (
        b"BZh",
        "it is compressed with bzip2; unpack it with `bunzip2`",
    ),
    (
        b"\xfd7zXZ\x00",
        "it is compressed with xz; unpack it with `unxz`",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "it is compressed with zstd; unpack it with `unzstd`",
    ),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive; unpack it"),
    (b"Rar!", "it is a RAR archive; unpack it"),
    (b"%PDF", "it is a PDF document"),
    (b"\x89PNG", "it is a PNG image"),
    (b"\xff\xd8\xff", "it is a JPEG image"),
    (
        b"\x7fELF",
        "it is a compiled program or library, such as an engine made for one device; the ONNX model that it was made from is needed",
    ),
    (b"GGUF", "it is a GGUF file of a language model"),
];

/// What a file is that is no ONNX model; none where it may be one.
pub(crate) fn name(bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("the file is empty".to_owned());
    }
    let begins = |with: &[u8]| bytes.starts_with(with);
    if let Some((_, what)) = KNOWN.iter().find(|(start, _)| begins(start)) {
        return Some((*what).to_owned());
    }
    if begins(b"PK\x03\x04") {
        return Some(archive(bytes).to_owned());
    }
    if bytes.get(4..8) == Some(b"TFL3") {
        return Some("it is a TensorFlow Lite model; convert it with `python -m tf2onnx.convert --tflite FILE --output model.onnx`".to_owned());
    }
    if bytes.get(4..8) == Some(b"ORTM") {
        return Some(
            "it is in ONNX Runtime's own format; the ONNX model that it was made from is needed"
                .to_owned(),
        );
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some("it is a tar archive; unpack it with `tar -xf`".to_owned());
    }
    if is_pickle(bytes) {
        return Some("it is a Python pickle, as PyTorch saved models before 1.6; load it in PyTorch and write ONNX with `torch.onnx.export`".to_owned());
    }
    if is_safetensors(bytes) {
        return Some("it is a safetensors file, which holds weights without the network; load them into their network and export that to ONNX, for example with `torch.onnx.export` or `optimum-cli export onnx`".to_owned());
    }
    text(bytes)
}

/// What a zip archive holds, by the names of its first files.
fn archive(bytes: &[u8]) -> &'static str {
    let start = &bytes[..bytes.len().min(1 << 16)];
    let holds = |name: &[u8]| start.windows(name.len()).any(|window| window == name);
    match () {
        () if holds(b"data.pkl") => {
            "it is a PyTorch file (`.pth`, `.pt`); load it in PyTorch and write ONNX with `torch.onnx.export`"
        }
        () if holds(b"model.weights.h5") || holds(b"config.json") && holds(b"metadata.json") => {
            "it is a Keras file (`.keras`); load it in Keras and write ONNX with `model.export(\"model.onnx\", format=\"onnx\")`"
        }
        () if holds(b"saved_model.pb") => {
            "it is an archive with a TensorFlow SavedModel; unpack it and convert it with `python -m tf2onnx.convert --saved-model FOLDER --output model.onnx`"
        }
        () if holds(b".onnx") => "it is a zip archive with an ONNX model inside; unpack it",
        () => "it is a zip archive; unpack it",
    }
}

/// Protocols 2 to 5 begin with their number, and end with a full stop.
fn is_pickle(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [
            0x80,
            2..=5,
            b'}' | b'c' | b'(' | b']' | b'\x95' | b'\x8a',
            ..
        ]
    )
}

/// The length of a JSON header, and the header.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return false;
    };
    let length = u64::from_le_bytes(*length);
    rest.starts_with(b"{\"") && length as usize <= rest.len()
}

/// What a text is: a page or a message that a server sent in the place of a file.
fn text(bytes: &[u8]) -> Option<String> {
    let start = &bytes[..bytes.len().min(4096)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character may be cut in two at the end.
        Err(error) if error.valid_up_to() + 4 > start.len() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let trimmed = text.trim_start_matches('\u{feff}').trim_start();
    let lower = trimmed.to_ascii_lowercase();
    Some(
        if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
            let title = between(trimmed, "<title>", "</title>").map(short);
            let title = title.map_or_else(String::new, |title| format!(" (\"{title}\")"));
            format!(
                "it is a web page{title}, not a file; download the file itself (on GitHub the `raw` link, on Hugging Face the one with `resolve`)"
            )
        } else if lower.starts_with("<?xml") || lower.starts_with('<') {
            let what = between(trimmed, "<Message>", "</Message>")
                .or_else(|| between(trimmed, "<Code>", "</Code>"));
            match what {
                Some(message) => format!(
                    "it is a server's message in the place of the file: \"{}\"",
                    short(message)
                ),
                None if lower.contains("<net ") => {
                    "it is an OpenVINO model; the ONNX model that it was made from is needed"
                        .to_owned()
                }
                None => "it is an XML document".to_owned(),
            }
        } else if trimmed.starts_with(['{', '[']) {
            format!(
                "it is JSON, perhaps a server's message in the place of the file: {}",
                short(trimmed)
            )
        } else {
            format!("it is a text: \"{}\"", short(trimmed))
        },
    )
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    let (_, behind) = text.split_once(from)?;
    Some(behind.split_once(to)?.0)
}

/// The beginning of a text, on one line.
fn short(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn files_that_are_something_else_are_called_by_name() {
        let mut tar = vec![b'm'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        let mut safetensors = 20u64.to_le_bytes().to_vec();
        safetensors.extend(br#"{"a":{"dtype":"F32"}}"#);
        for (bytes, part) in [
            (b"".to_vec(), "empty"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid".to_vec(),
                "git lfs pull",
            ),
            (
                b"<!DOCTYPE html><title>Not here</title>".to_vec(),
                "web page (\"Not here\")",
            ),
            (
                b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>".to_vec(),
                "AccessDenied",
            ),
            (b"{\"error\": \"not found\"}".to_vec(), "not found"),
            (b"Not Found".to_vec(), "Not Found"),
            (
                b"PK\x03\x04....model/data.pkl".to_vec(),
                "torch.onnx.export",
            ),
            (b"PK\x03\x04....net.onnx".to_vec(), "ONNX model inside"),
            (b"\x1f\x8b\x08".to_vec(), "gunzip"),
            (b"\x89HDF\r\n\x1a\n".to_vec(), "Keras"),
            (b"\x1c\x00\x00\x00TFL3".to_vec(), "tf2onnx"),
            (b"\x80\x02}q\x00".to_vec(), "pickle"),
            (safetensors, "safetensors"),
            (tar, "tar -xf"),
        ] {
            let what = name(&bytes).unwrap();
            assert!(what.contains(part), "{what}");
        }
        // The first bytes of ONNX files: version, producer.
        assert_eq!(name(b"\x08\x08\x12\x07pytorch\x1a"), None);
        assert_eq!(name(b"\x08\x07:\xb0"), None);
    }
}

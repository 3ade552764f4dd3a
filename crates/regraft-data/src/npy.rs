//! NumPy's `.npy` files of 32-bit floats (NEP 1, versions 1 to 3), read and written.

use std::io::Read;
use std::path::Path;

/// First bytes of a file.
const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Longest header to read, in bytes: far more than any shape takes.
const MOST_HEADER: u32 = 1 << 16;

/// Whether the file's ending says that it is one.
pub fn is_npy(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("npy"))
}

/// Reads shape and values, row by row.
///
/// # Errors
/// What is wrong with the file, and what would work.
pub fn read(mut reader: impl Read) -> Result<(Vec<usize>, Vec<f32>), String> {
    let mut start = [0; 8];
    let cut = |_| "it ends within its header; save it again".to_owned();
    reader.read_exact(&mut start).map_err(cut)?;
    if start[..6] != *MAGIC {
        return Err("it is no .npy file; save one with `numpy.save`".to_owned());
    }
    let length = match start[6] {
        1 => {
            let mut bytes = [0; 2];
            reader.read_exact(&mut bytes).map_err(cut)?;
            u32::from(u16::from_le_bytes(bytes))
        }
        2 | 3 => {
            let mut bytes = [0; 4];
            reader.read_exact(&mut bytes).map_err(cut)?;
            u32::from_le_bytes(bytes)
        }
        version => return Err(format!("its version is {version}, expected 1 to 3")),
    };
    if length > MOST_HEADER {
        return Err(format!("its header promises {length} bytes"));
    }
    let mut header = vec![0; length as usize];
    reader.read_exact(&mut header).map_err(cut)?;
    let header = String::from_utf8_lossy(&header);
    let descr = field(&header, "descr").unwrap_or_default();
    let Some((width, number)) = numbers(descr.trim_matches(['\'', '"'])) else {
        return Err(format!(
            "its values are {}, expected floats of 32 or 64 bits or whole numbers of 8, 32 or 64; save `x.astype('<f4')`",
            brief(descr)
        ));
    };
    if field(&header, "fortran_order").is_some_and(|order| order.starts_with("True")) {
        return Err("it is in Fortran order; save it in C order".to_owned());
    }
    let shape = field(&header, "shape").and_then(shape);
    let shape = shape.ok_or("its header has no shape")?;
    let count = shape
        .iter()
        .try_fold(1usize, |all, extent| all.checked_mul(*extent))
        .and_then(|count| count.checked_mul(width))
        .ok_or_else(|| format!("its shape {shape:?} is too large"))?;
    // The vector grows with what arrives, whatever the header promises.
    let mut bytes = Vec::new();
    let read = reader.take(count as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    if bytes.len() != count {
        return Err(format!(
            "its shape {shape:?} takes {count} bytes, and it holds {}{}",
            bytes.len().min(count),
            if bytes.len() > count { " and more" } else { "" }
        ));
    }
    Ok((shape, bytes.chunks_exact(width).map(number).collect()))
}

/// A float of the bytes of a value.
type Number = fn(&[u8]) -> f32;

/// Bytes of a value of a type, and how they become a float; none where the type is not known.
fn numbers(descr: &str) -> Option<(usize, Number)> {
    fn fixed<const W: usize>(bytes: &[u8]) -> [u8; W] {
        bytes.try_into().unwrap_or([0; W])
    }
    Some(match descr {
        "<f4" | "=f4" => (4, |bytes| f32::from_le_bytes(fixed(bytes))),
        "<f8" | "=f8" => (8, |bytes| f64::from_le_bytes(fixed(bytes)) as f32),
        "|u1" => (1, |bytes| u8::from_le_bytes(fixed(bytes)).into()),
        "|i1" => (1, |bytes| i8::from_le_bytes(fixed(bytes)).into()),
        "<i4" | "=i4" => (4, |bytes| i32::from_le_bytes(fixed(bytes)) as f32),
        "<i8" | "=i8" => (8, |bytes| i64::from_le_bytes(fixed(bytes)) as f32),
        _ => return None,
    })
}

/// The file of an array, row by row.
pub fn write(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let extents: String = shape.iter().map(|extent| format!("{extent},")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({extents}), }}");
    // Magic, version and length take ten bytes, and the values begin at a multiple of 64.
    let whole = (10 + header.len() + 1).next_multiple_of(64);
    header.push_str(&" ".repeat(whole - 10 - header.len() - 1));
    header.push('\n');
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

/// What stands behind a key of the header's dictionary, to the end of the header.
fn field<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let behind = header
        .split_once(&format!("'{key}'"))
        .or_else(|| header.split_once(&format!("\"{key}\"")))?
        .1;
    let value = behind.trim_start().strip_prefix(':')?.trim_start();
    Some(match value.starts_with('(') {
        true => value,
        false => value.split([',', '}']).next().unwrap_or(value).trim(),
    })
}

/// `(2, 3, 224, 224)`, `(5,)` or `()`.
fn shape(text: &str) -> Option<Vec<usize>> {
    let inner = text.strip_prefix('(')?.split_once(')')?.0;
    inner
        .split(',')
        .map(str::trim)
        .filter(|extent| !extent.is_empty())
        .map(|extent| extent.parse().ok())
        .collect()
}

fn brief(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for shape in [vec![], vec![3], vec![2, 3], vec![1, 2, 3, 4]] {
            let count = shape.iter().product::<usize>();
            let values: Vec<f32> = (0..count).map(|i| i as f32 - 0.5).collect();
            let bytes = write(&shape, &values);
            assert_eq!(read(&bytes[..]).unwrap(), (shape, values));
        }
    }

    #[test]
    fn whole_numbers_become_floats() {
        let floats = write(&[2], &[0.0; 2]);
        let header = &floats[..floats.len() - 8];
        for (descr, values) in [
            ("|u1", vec![200, 3]),
            ("<i4", vec![200, 0, 0, 0, 3, 0, 0, 0]),
            ("<i8", [200i64.to_le_bytes(), 3i64.to_le_bytes()].concat()),
        ] {
            let header = String::from_utf8_lossy(&header[10..]).replace("<f4", descr);
            let file = [&floats[..10], header.as_bytes(), &values].concat();
            assert_eq!(read(&file[..]).unwrap(), (vec![2], vec![200.0, 3.0]));
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let whole = write(&[2, 2], &[0.0; 4]);
        let with = |from: &str, to: &str| {
            let text: Vec<u8> = whole.clone();
            let at = text.windows(from.len()).position(|w| w == from.as_bytes());
            let mut text = text;
            text.splice(at.unwrap()..at.unwrap() + from.len(), to.bytes());
            text
        };
        for (bytes, part) in [
            (b"hello".to_vec(), "header"),
            (b"hello, world".to_vec(), "no .npy file"),
            (whole[..whole.len() - 1].to_vec(), "holds 15"),
            ([&whole[..], b"x"].concat(), "and more"),
            (with("<f4", "<c8"), "expected floats"),
            (with("False", "True "), "Fortran"),
            (with("2,2,", "9999"), "holds 16"),
            (with("(2,2,)", "[2,2,]"), "no shape"),
        ] {
            let reason = read(&bytes[..]).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        }
    }
}

//! Server-sent events cut out of bytes: any splitting of the stream gives the same payloads,
//! lines are decoded whole, and what gateways get wrong (CRLF, no space, no blank line,
//! comments, a byte-order mark) does no harm.

/// The longest payload that is kept; a gateway that sends more is broken.
pub const MAX_PAYLOAD: usize = 8 * 1024 * 1024;

/// The stream is not one that we can read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway sent an event of more than {MAX_PAYLOAD} bytes")]
pub struct TooLong;

/// Collects bytes and gives payloads.
#[derive(Debug, Default)]
pub struct Splitter {
    /// Bytes of a line whose end has not come.
    line: Vec<u8>,
    /// Payload lines of an event that is not complete.
    payload: Vec<u8>,
    begun: bool,
    /// The last byte was a CR, so that a LF now ends nothing new.
    after_cr: bool,
}

impl Splitter {
    /// A splitter at the start of a stream.
    pub fn new() -> Self {
        Splitter::default()
    }

    /// Takes what was read and calls `each` for every complete payload, in order. Stops at
    /// the first error of `each`.
    pub fn push<E: From<TooLong>>(
        &mut self,
        mut bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if !bytes.is_empty() {
            let second_half = std::mem::take(&mut self.after_cr) && bytes[0] == b'\n';
            bytes = &bytes[usize::from(second_half)..];
        }
        while let Some(at) = memchr::memchr2(b'\n', b'\r', bytes) {
            let (line, rest) = bytes.split_at(at);
            if self.line.is_empty() {
                self.line(line, &mut each)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.line(&whole, &mut each)?;
                whole.clear();
                self.line = whole;
            }
            let skip = if rest[0] == b'\r' && rest.get(1) == Some(&b'\n') { 2 } else { 1 };
            self.after_cr = rest[0] == b'\r' && rest.len() == 1;
            bytes = &rest[skip..];
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() + self.payload.len() > MAX_PAYLOAD {
            return Err(TooLong.into());
        }
        Ok(())
    }

    /// The stream has ended: gives what is left when it is a payload.
    pub fn finish<E: From<TooLong>>(
        &mut self,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.line(&line, &mut each)?;
        }
        self.line(b"", &mut each)
    }

    fn line<E>(&mut self, mut line: &[u8], each: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            let payload = std::mem::take(&mut self.payload);
            return if payload.is_empty() { Ok(()) } else { each(&payload) };
        }
        let Some(data) = line.strip_prefix(b"data:") else {
            // Comments and other fields carry nothing that we need. A line that is an object
            // by itself, or llama.cpp's field `error`, is an error in the middle of a stream.
            let object = line.strip_prefix(b"error:").unwrap_or(line).trim_ascii();
            if object.first() == Some(&b'{') && self.payload.is_empty() {
                return each(object);
            }
            return Ok(());
        };
        let data = data.strip_prefix(b" ").unwrap_or(data);
        // A whole document needs no blank line after it: some gateways send none.
        if self.payload.is_empty() && (complete(data) || data.trim_ascii() == b"[DONE]") {
            return each(data.trim_ascii());
        }
        if !self.payload.is_empty() {
            self.payload.push(b'\n');
        }
        self.payload.extend_from_slice(data);
        Ok(())
    }
}

fn complete(data: &[u8]) -> bool {
    let data = data.trim_ascii();
    data.first() == Some(&b'{') && data.last() == Some(&b'}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut out = Vec::new();
        let mut splitter = Splitter::new();
        let mut each = |p: &[u8]| -> Result<(), TooLong> {
            out.push(String::from_utf8_lossy(p).into_owned());
            Ok(())
        };
        for chunk in chunks {
            splitter.push(chunk, &mut each).expect("short");
        }
        splitter.finish(&mut each).expect("short");
        out
    }

    #[test]
    fn payloads() {
        let cases: &[(&str, &[&str])] = &[
            ("data: {\"a\":1}\n\ndata: [DONE]\n\n", &["{\"a\":1}", "[DONE]"]),
            ("data:{\"a\":1}\r\n\r\ndata:[DONE]\r\n\r\n", &["{\"a\":1}", "[DONE]"]),
            ("\u{feff}: hello\n\ndata: {\"a\":1}\rdata: {\"b\":2}\r", &["{\"a\":1}", "{\"b\":2}"]),
            ("event: x\nid: 3\ndata: {\"a\":\ndata: 1}\n\n", &["{\"a\":\n1}"]),
            ("data: [1,\r\ndata: 2]\r\n\ndata: [3]\n\r\n", &["[1,\n2]", "[3]"]),
            ("data: {\"a\":1}\ndata: {\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"]),
            ("data: {\"a\":\"é漢\"}", &["{\"a\":\"é漢\"}"]),
            ("data:\n\ndata: \n\n:\n\n", &[]),
            ("{\"error\":{}}\n", &["{\"error\":{}}"]),
            ("data: {}\n\nerror: {\"error\":1}\n", &["{}", "{\"error\":1}"]),
        ];
        for (input, expected) in cases {
            assert_eq!(split(&[input.as_bytes()]), *expected, "{input:?}");
            let single: Vec<&[u8]> = input.as_bytes().chunks(1).collect();
            assert_eq!(split(&single), *expected, "{input:?} byte by byte");
            for at in 0..input.len() {
                let (a, b) = input.as_bytes().split_at(at);
                assert_eq!(split(&[a, b]), *expected, "{input:?} split at {at}");
            }
        }
    }
}

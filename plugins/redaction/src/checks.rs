//! What a format's own structure or checksum says.

/// Decodes base64 or base64url without padding, as far as it goes.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0_u32, 0_u32);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    out
}

/// A JSON object with the members of a JOSE header.
pub fn is_jwt_header(token: &[u8]) -> bool {
    let header = decode(token.split(|b| *b == b'.').next().unwrap_or_default());
    let has = |what: &[u8]| header.windows(what.len()).any(|window| window == what);
    header.first() == Some(&b'{')
        && (has(b"\"alg\"") || has(b"\"typ\"") || has(b"\"enc\"") || has(b"yp\":\"J") || has(b"\"kid\""))
}

/// A JSON Web Key in base64 that has a private member.
pub fn is_private_web_key(token: &[u8]) -> bool {
    let key = decode(token);
    [&b"\"d\":"[..], b"\"k\":", b"\"d\" :", b"\"k\" :"]
        .iter()
        .any(|member| key.windows(member.len()).any(|window| window == *member))
}

/// `user:password` in base64.
pub fn is_basic_auth(value: &[u8]) -> bool {
    let body = value.strip_suffix(b"==").or_else(|| value.strip_suffix(b"=")).unwrap_or(value);
    let plain = decode(body);
    plain.len() == body.len() * 3 / 4
        && plain.contains(&b':')
        && std::str::from_utf8(&plain).is_ok_and(|text| !text.chars().any(char::is_control))
}

/// Padded base64 of a text that can be read.
pub fn is_encoded_text(value: &[u8]) -> bool {
    if value.len() < 8 || !value.len().is_multiple_of(4) || (value.len() < 12 && !value.ends_with(b"=")) {
        return false;
    }
    let body = value.strip_suffix(b"==").or_else(|| value.strip_suffix(b"=")).unwrap_or(value);
    let plain = decode(body);
    plain.len() == body.len() * 3 / 4
        && std::str::from_utf8(&plain)
            .is_ok_and(|text| text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')))
}

/// GitHub's and npm's tokens end with a CRC-32 of the rest, in six base-62 digits.
pub fn has_base62_crc32(token: &[u8]) -> bool {
    let Some(underscore) = token.iter().position(|b| *b == b'_') else { return false };
    let secret = &token[underscore + 1..];
    let Some((body, sum)) = secret.len().checked_sub(6).map(|n| secret.split_at(n)) else { return false };
    let mut value = crc32(body);
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[(value % 62) as usize];
        value /= 62;
    }
    sum == digits
}

/// CRC-32 as in zlib.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert!(is_basic_auth(b"dXNlcjpwYXNzd29yZA=="));
        assert!(!is_basic_auth(b"authentication"));
        assert!(is_encoded_text(b"YWRtaW4tcGFzcw=="));
        assert!(!is_encoded_text(b"production-1") && !is_encoded_text(b"abcdefgh"));
        assert!(is_jwt_header(b"eyJhbGciOiJIUzI1NiJ9.x.y"));
        assert!(!is_jwt_header(b"eyJ2ZXJzaW9uIjozfQ.x"));
        assert!(!has_base62_crc32(b"ghp_0000000000000000000000000000000000000"));
    }
}

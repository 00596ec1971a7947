//! Small helps for messages: quoting what the user wrote, guessing what was meant, leaving secrets out.

/// The longest piece of the user's text that a message repeats, in characters.
const QUOTED_CHARS_MAX: usize = 60;

/// `text` between backquotes, cut short, and with nothing in it that a terminal would act on.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("`");
    for (index, c) in text.chars().enumerate() {
        if index == QUOTED_CHARS_MAX {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown.push('`');
    shown
}

/// Which of `known` the user probably meant by `typed`; none when nothing is near.
pub(crate) fn nearest<'a>(
    typed: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if typed.len() > QUOTED_CHARS_MAX {
        return None;
    }
    let wanted = simplified(typed);
    // A third of the letters may be wrong: more would suggest one short word for another.
    let tolerance = wanted.len().div_ceil(3).min(4);
    known
        .into_iter()
        .map(|name| (distance(&wanted, &simplified(name)), name))
        .filter(|&(distance, name)| distance <= tolerance && distance < simplified(name).len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// A URL as messages may show it: without user, password, query and fragment. What could be a password with a `/`,
/// `?` or `#` in it is left out as well.
pub(crate) fn redacted(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let shown = &url[..end];
    let Some((scheme, rest)) = shown.split_once("://") else {
        return shown.rsplit('@').next().unwrap_or("").to_owned();
    };
    let host_and_path = rest.rsplit('@').next().unwrap_or(rest);
    let authority = host_and_path.split('/').next().unwrap_or("");
    let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
    match authority.rsplit_once(':') {
        Some((_, port))
            if !is_port(port) && !authority.starts_with("arn:") && !authority.ends_with(']') =>
        {
            format!("{scheme}://…")
        }
        _ => format!("{scheme}://{host_and_path}"),
    }
}

/// Letters and digits in lower case: `minCheckpoint_pages` is then nearer to `min-checkpoint-page-count`.
fn simplified(name: &str) -> Vec<char> {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// How many letters must be put in, taken out, replaced or swapped with a neighbour to turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, cb) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(ca != cb);
            let mut best = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *ca == b[j - 1] && a[i - 1] == *cb {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_one_that_could_be_meant() {
        let known = ["sync-interval", "monitor-interval", "path", "replica", "o"];
        assert_eq!(nearest("sync_intervall", known), Some("sync-interval"));
        assert_eq!(nearest("snyc-interval", known), Some("sync-interval"));
        assert_eq!(nearest("Replicas", known), Some("replica"));
        assert_eq!(nearest("patch", known), Some("path"));
        assert_eq!(nearest("x", known), None);
        assert_eq!(nearest("wholly-different", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest(&"p".repeat(1000), known), None);
    }

    #[test]
    fn quotes_are_short_and_harmless() {
        assert_eq!(quoted("a\u{1b}[31mb"), "`a\\u{1b}[31mb`");
        assert_eq!(quoted(&"x".repeat(100)).chars().count(), 63);
    }

    #[test]
    fn urls_lose_their_secrets() {
        assert_eq!(redacted("s3://k:s3cret@h/p?secret=x"), "s3://h/p");
        assert_eq!(redacted("s3://k:p@ss@h/p#x"), "s3://h/p");
        assert_eq!(redacted("k:s3cret@h"), "h");
        assert_eq!(redacted("s3://k:s3c/ret@h/p"), "s3://h/p");
        assert_eq!(redacted("s3://k:s3c?ret@h/p"), "s3://…");
        assert_eq!(redacted("s3://k:s3c#ret@h/p"), "s3://…");
        assert_eq!(redacted("s3://b.h:9000/p"), "s3://b.h:9000/p");
        assert_eq!(redacted("http://[::1]/p"), "http://[::1]/p");
        assert_eq!(
            redacted("s3://arn:aws:s3:r:1:accesspoint/a"),
            "s3://arn:aws:s3:r:1:accesspoint/a"
        );
    }
}

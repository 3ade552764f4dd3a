//! Text for messages, cut to a length.

/// Characters of a block's or parameter's name that a message shows.
pub(crate) const NAME: usize = 60;
/// Characters of a word in the section that a message shows.
pub(crate) const WORD: usize = 40;

/// On one line and of at most so many characters, the last of them `…` where some are left out.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let on_one_line = |c: char| if c.is_control() { ' ' } else { c };
    let mut short: String = text.chars().take(most).map(on_one_line).collect();
    if text.chars().nth(most).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

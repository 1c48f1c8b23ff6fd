//! Regular expressions as Go 1.15 reads them (`regexp/syntax`, flags `Perl`), rewritten for the
//! `regex` crate.
//!
//! Both come from RE2 and match alike, but they do not read alike: in Go `\d`, `\w`, `\s` and `\b`
//! are ASCII, `{` may be a letter, `[` within a class is one, `\Q…\E` quotes, `a**` is an error,
//! and `(?x)`, `(?<name>…)`, `\u`, nested classes and their operators do not exist.

/// The same pattern for `regex::bytes`, or what Go says is wrong with it. What both refuse is left
/// to `regex`.
pub(super) fn translate(pattern: &str) -> Result<String, &'static str> {
    let mut translator = Translator {
        rest: pattern,
        out: String::with_capacity(pattern.len()),
        flags: Flags::default(),
        open: Vec::new(),
        weight: 1,
        group_weight: 1,
    };
    translator.run()?;
    Ok(translator.out)
}

/// Go's bound on a repetition, and on the product of nested ones.
const REPEAT_MAX: u32 = 1000;

/// The classes that have a name in brackets.
const ASCII_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    ungreedy: bool,
}

impl Flags {
    fn set(&mut self, flag: char, to: bool) -> bool {
        let which = match flag {
            'i' => &mut self.ignore_case,
            'm' => &mut self.multi_line,
            's' => &mut self.dot_all,
            'U' => &mut self.ungreedy,
            _ => return false,
        };
        *which = to;
        true
    }

    /// All of them, on or off.
    fn write(self, out: &mut String) {
        let all = [
            ('i', self.ignore_case),
            ('m', self.multi_line),
            ('s', self.dot_all),
            ('U', self.ungreedy),
        ];
        out.extend(all.iter().filter(|(_, on)| *on).map(|(flag, _)| *flag));
        if all.iter().any(|(_, on)| !on) {
            out.push('-');
            out.extend(all.iter().filter(|(_, on)| !on).map(|(flag, _)| *flag));
        }
    }
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
    flags: Flags,
    /// What was in force before each open group: flags, and the weight of the group around.
    open: Vec<(Flags, u32)>,
    /// How often what was read last may be repeated within itself.
    weight: u32,
    /// The largest such within the group.
    group_weight: u32,
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result<(), &'static str> {
        let mut was_repetition = false;
        while let Some(next) = self.rest.chars().next() {
            if let Some((text, most)) = self.repetition(next)? {
                if was_repetition {
                    return Err("a repetition cannot be repeated");
                }
                was_repetition = true;
                self.repeat(text, most)?;
                continue;
            }
            was_repetition = false;
            self.weight = 1;
            self.skip(next);
            match next {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' => self.close()?,
                '.' | '^' | '$' | '|' => self.out.push(next),
                other => self.literal(other),
            }
        }
        if self.open.is_empty() { Ok(()) } else { Err("a parenthesis is not closed") }
    }

    /// A repetition, if one is next: how it is written, and how often it repeats at most (or, if
    /// there is no such bound, at least). `{` may also be a letter.
    fn repetition(&self, next: char) -> Result<Option<(&'a str, u32)>, &'static str> {
        let (text, most) = match next {
            '*' | '+' | '?' => (self.rest.get(..1), 1),
            '{' => {
                let Some((length, least, most)) = bounds(self.rest) else { return Ok(None) };
                if least > REPEAT_MAX || most.is_some_and(|most| most > REPEAT_MAX || most < least)
                {
                    return Err("a repetition is at most 1000 times, the smaller number first");
                }
                (self.rest.get(..length), most.unwrap_or(least))
            }
            _ => return Ok(None),
        };
        Ok(text.map(|text| (text, most)))
    }

    fn repeat(&mut self, text: &'a str, most: u32) -> Result<(), &'static str> {
        self.out.push_str(text);
        self.rest = self.rest.get(text.len()..).unwrap_or_default();
        if self.rest.starts_with('?') {
            self.out.push('?');
            self.skip('?');
        }
        self.weight = self.weight.saturating_mul(most.max(1));
        if most >= 2 && self.weight > REPEAT_MAX {
            return Err("repetitions within each other are at most 1000 times");
        }
        self.group_weight = self.group_weight.max(self.weight);
        Ok(())
    }

    fn group(&mut self) -> Result<(), &'static str> {
        let Some(rest) = self.rest.strip_prefix('?') else {
            self.enter();
            self.out.push('(');
            return Ok(());
        };
        if let Some(named) = rest.strip_prefix("P<") {
            let (name, after) = named.split_once('>').ok_or("a name is not closed")?;
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(is_word) {
                return Err("a name is of letters, digits and _");
            }
            // Nothing asks for it, and Go takes one twice.
            self.rest = after;
            self.enter();
            self.out.push('(');
            return Ok(());
        }
        self.flags(rest)
    }

    /// `(?i)` and `(?i-s:`.
    fn flags(&mut self, flags: &'a str) -> Result<(), &'static str> {
        let (mut new, mut to, mut is_last_sign) = (self.flags, true, false);
        for (at, flag) in flags.char_indices() {
            match flag {
                '-' if to => (to, is_last_sign) = (false, true),
                ':' | ')' if !is_last_sign => {
                    if flag == ':' {
                        self.enter();
                    }
                    self.flags = new;
                    self.out.push_str("(?");
                    new.write(&mut self.out);
                    self.out.push(flag);
                    self.rest = flags.get(at.saturating_add(1)..).unwrap_or_default();
                    return Ok(());
                }
                _ if new.set(flag, to) => is_last_sign = false,
                _ => break,
            }
        }
        Err("after (? there is P<name>, or flags out of i, m, s, U, - and then : or )")
    }

    fn enter(&mut self) {
        self.open.push((self.flags, self.group_weight));
        self.group_weight = 1;
    }

    fn close(&mut self) -> Result<(), &'static str> {
        let (flags, around) = self.open.pop().ok_or("a parenthesis was not opened")?;
        self.out.push(')');
        self.flags = flags;
        self.weight = self.group_weight;
        self.group_weight = around.max(self.weight);
        Ok(())
    }

    /// After a backslash, outside of a class.
    fn escape(&mut self) -> Result<(), &'static str> {
        let next = self.rest.chars().next().ok_or("it ends with a backslash")?;
        match next {
            'Q' => {
                let quoted = self.rest.get(1..).unwrap_or_default();
                let (quoted, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                quoted.chars().for_each(|character| self.literal(character));
                self.rest = after;
                return Ok(());
            }
            'A' | 'z' => self.out.extend(['\\', next]),
            'b' => self.out.push_str(r"(?-u:\b)"),
            'B' => self.out.push_str(r"(?-u:\B)"),
            _ => {
                if !self.class_escape(next)? {
                    let character = self.character()?;
                    self.literal(character);
                }
                return Ok(());
            }
        }
        self.skip(next);
        Ok(())
    }

    /// `\d`, `\pL` and the like, after the backslash, in a class or not.
    fn class_escape(&mut self, next: char) -> Result<bool, &'static str> {
        let class = match next {
            'd' => "[0-9]",
            'D' => "[^0-9]",
            's' => r"[\t\n\x0c\r\x20]",
            'S' => r"[^\t\n\x0c\r\x20]",
            'w' => "[0-9A-Za-z_]",
            'W' => "[^0-9A-Za-z_]",
            'p' | 'P' => {
                self.skip(next);
                self.property(next == 'P')?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.skip(next);
        self.out.push_str(class);
        Ok(true)
    }

    fn property(&mut self, mut is_negated: bool) -> Result<(), &'static str> {
        let wrong = "there is no such class of characters";
        let mut name = if let Some(rest) = self.rest.strip_prefix('{') {
            let (name, after) = rest.split_once('}').ok_or(wrong)?;
            self.rest = after;
            name
        } else {
            let name = self.rest.get(..1).ok_or(wrong)?;
            self.rest = self.rest.get(1..).unwrap_or_default();
            name
        };
        if let Some(negated) = name.strip_prefix('^') {
            (name, is_negated) = (negated, !is_negated);
        }
        // `regex` knows these names in any case, and more besides.
        let is_name = name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        if !name.starts_with(|c: char| c.is_ascii_uppercase()) || !is_name {
            return Err(wrong);
        }
        let letter = if is_negated { 'P' } else { 'p' };
        self.out.extend(['\\', letter, '{']);
        self.out.push_str(name);
        self.out.push('}');
        Ok(())
    }

    /// After `[`.
    fn class(&mut self) -> Result<(), &'static str> {
        self.out.push('[');
        if self.rest.starts_with('^') {
            self.skip('^');
            self.out.push('^');
        }
        let mut is_first = true;
        while is_first || !self.rest.starts_with(']') {
            is_first = false;
            if let Some((name, after)) = ascii_class(self.rest)? {
                self.out.push_str(name);
                self.rest = after;
                continue;
            }
            let escaped = self.rest.strip_prefix('\\').and_then(|rest| rest.chars().next());
            if let Some(next @ ('d' | 'D' | 's' | 'S' | 'w' | 'W' | 'p' | 'P')) = escaped {
                self.skip('\\');
                self.class_escape(next)?;
                continue;
            }
            let low = self.class_character()?;
            self.literal(low);
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1 {
                self.skip('-');
                let high = self.class_character()?;
                if high < low {
                    return Err("a range begins with the smaller character");
                }
                self.out.push('-');
                self.literal(high);
            }
        }
        self.skip(']');
        self.out.push(']');
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, &'static str> {
        let next = self.rest.chars().next().ok_or("a bracket is not closed")?;
        self.skip(next);
        if next == '\\' { self.character() } else { Ok(next) }
    }

    /// A character after its backslash.
    fn character(&mut self) -> Result<char, &'static str> {
        let wrong = "there is no such escape";
        let next = self.rest.chars().next().ok_or("it ends with a backslash")?;
        self.skip(next);
        let code = match next {
            '0'..='7' => {
                // A single digit would be a reference to a group, but for 0.
                let is_octal = |c: char| c.is_digit(8);
                if next != '0' && !self.rest.starts_with(is_octal) {
                    return Err(wrong);
                }
                let mut code = next.to_digit(8).ok_or(wrong)?;
                for _ in 0..2 {
                    let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code.saturating_mul(8).saturating_add(digit);
                    self.rest = self.rest.get(1..).unwrap_or_default();
                }
                code
            }
            'x' => self.hexadecimal().ok_or(wrong)?,
            'a' => 0x07,
            'f' => 0x0c,
            'n' => 0x0a,
            'r' => 0x0d,
            't' => 0x09,
            'v' => 0x0b,
            other if other.is_ascii() && !other.is_ascii_alphanumeric() => return Ok(other),
            _ => return Err(wrong),
        };
        char::from_u32(code).ok_or(wrong)
    }

    /// `41`, `{1F600}`.
    fn hexadecimal(&mut self) -> Option<u32> {
        let (digits, after) = match self.rest.strip_prefix('{') {
            Some(rest) => rest.split_once('}')?,
            None => self.rest.split_at_checked(2)?,
        };
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        self.rest = after;
        u32::from_str_radix(digits, 16).ok()
    }

    fn literal(&mut self, character: char) {
        if character.is_ascii_alphanumeric() {
            self.out.push(character);
        } else {
            self.out.push_str(&format!("\\x{{{:x}}}", u32::from(character)));
        }
    }

    fn skip(&mut self, character: char) {
        self.rest = self.rest.get(character.len_utf8()..).unwrap_or_default();
    }
}

/// `{2}`, `{2,}` or `{2,3}`: its length, the least and, unless there is none, the most. Anything
/// else is no repetition.
fn bounds(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let (inner, _) = text.strip_prefix('{')?.split_once('}')?;
    let number = |digits: &str| -> Option<u32> {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let has_leading_zero = digits.len() > 1 && digits.starts_with('0');
        // What does not fit is too much in any case.
        (is_number && !has_leading_zero).then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (least, most) = match inner.split_once(',') {
        None => (number(inner)?, Some(number(inner)?)),
        Some((least, "")) => (number(least)?, None),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    Some((inner.len().saturating_add(2), least, most))
}

/// `[:alpha:]` and `[:^alpha:]`, with what comes after. Whatever else begins so is an error, if
/// it ends so, and letters if not.
fn ascii_class(text: &str) -> Result<Option<(&str, &str)>, &'static str> {
    let Some((name, after)) = text.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) else {
        return Ok(None);
    };
    if !ASCII_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err("there is no such class of characters");
    }
    let length = text.len().saturating_sub(after.len());
    Ok(text.get(..length).map(|class| (class, after)))
}

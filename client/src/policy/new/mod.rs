//! `mc2 policy new`: asks what a policy must say, and writes one.
//!
//! Every question has a flag of the same meaning, so that a script answers beforehand what a person
//! is asked ([`Answers`]). Each answer is checked where it is given; the whole is parsed as every
//! policy is before it has a name, and what is there is never written over.

mod answers;
mod draft;
mod error;
mod questions;
mod write;

#[cfg(test)]
mod tests;

use std::{
    io::{self, BufRead, Write},
    path::Path,
};

use mc2_protocol::policy::Policy;

pub use answers::Answers;
pub use error::NewPolicyError;

use crate::{
    files::{FileError, write_private_new},
    party::Parties,
};
use draft::Draft;
use questions::Question;

/// Somebody who is asked: questions go to `to`, answers come from `from`, each a line.
pub struct Asked<'a> {
    /// Where answers come from.
    pub from: &'a mut dyn BufRead,
    /// Where questions go.
    pub to: &'a mut dyn Write,
}

/// The text of a policy of these answers; what they leave open is asked, where somebody can be.
///
/// `now` is in seconds since 1970, and `known` are the cards that parties are taken from by name.
///
/// # Errors
/// [`NewPolicyError`]: an answer that is none, one that is missing and nobody to ask, or answers
/// that do not go together.
pub fn compose(
    answers: &Answers,
    known: &Parties,
    now: u64,
    mut asked: Option<Asked<'_>>,
) -> Result<Policy, NewPolicyError> {
    let mut draft = Draft::new(known, now);
    let mut missing = Vec::new();
    for question in questions::OF_POLICY {
        answer(
            question,
            0,
            answers,
            &mut draft,
            asked.as_mut(),
            &mut missing,
        )?;
    }
    for step in 0..draft.steps.len() {
        for question in questions::OF_STEP {
            answer(
                question,
                step,
                answers,
                &mut draft,
                asked.as_mut(),
                &mut missing,
            )?;
        }
    }
    if !missing.is_empty() {
        return Err(NewPolicyError::Missing { flags: missing });
    }
    let text = write::to_toml(&draft);
    Policy::parse(text.as_bytes()).map_err(|source| NewPolicyError::Together {
        source: Box::new(source),
    })
}

/// Writes the policy's exact bytes to a new file.
///
/// # Errors
/// There is a file of that name, which stays as it is, or the system refused.
pub fn write(path: &Path, policy: &Policy) -> Result<(), FileError> {
    write_private_new(path, policy.bytes())
}

/// Takes the answer to one question from the flags, or asks for it.
fn answer(
    question: &Question,
    step: usize,
    answers: &Answers,
    draft: &mut Draft<'_>,
    asked: Option<&mut Asked<'_>>,
    missing: &mut Vec<String>,
) -> Result<(), NewPolicyError> {
    let given = answers.of(question.flag, step)?;
    if !given.is_empty() {
        return take(question, step, draft, &given);
    }
    if let Some(certain) = (question.certain)(draft, step) {
        return take(question, step, draft, &certain);
    }
    let Some(asked) = asked else {
        if let Some(default) = (question.default)(draft, step).filter(|_| question.optional) {
            return take(question, step, draft, &default);
        }
        missing.push(question.flag_for(step));
        return Ok(());
    };
    loop {
        let typed = ask(question, step, draft, asked).map_err(NewPolicyError::Terminal)?;
        let Some(typed) = typed else {
            let flag = question.flag_for(step);
            return Err(NewPolicyError::Ended { flag });
        };
        match (question.take)(draft, step, &typed) {
            Ok(()) => return Ok(()),
            Err(reason) => writeln!(asked.to, "  {reason}").map_err(NewPolicyError::Terminal)?,
        }
    }
}

fn take(
    question: &Question,
    step: usize,
    draft: &mut Draft<'_>,
    values: &[String],
) -> Result<(), NewPolicyError> {
    (question.take)(draft, step, values).map_err(|reason| NewPolicyError::Answer {
        flag: question.flag_for(step),
        reason,
    })
}

/// Asks once; `None` where nobody answers any more.
fn ask(
    question: &Question,
    step: usize,
    draft: &Draft<'_>,
    asked: &mut Asked<'_>,
) -> io::Result<Option<Vec<String>>> {
    let default = (question.default)(draft, step);
    let text = (question.text)(draft, step);
    writeln!(asked.to, "{text}")?;
    if question.many {
        writeln!(asked.to, "  one a line, an empty line ends")?;
    }
    let mut values = Vec::new();
    loop {
        match &default {
            Some(default) if values.is_empty() => {
                write!(asked.to, "[{}] > ", default.join(" "))?;
            }
            _ => write!(asked.to, "> ")?,
        }
        asked.to.flush()?;
        let mut line = String::new();
        if asked.from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim();
        if line.is_empty() {
            return Ok(Some(match default {
                Some(default) if values.is_empty() => default,
                _ => values,
            }));
        }
        values.push(line.to_owned());
        if !question.many {
            return Ok(Some(values));
        }
    }
}

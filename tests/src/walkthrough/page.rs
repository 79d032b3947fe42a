//! What a page says is typed, where, and what it says is printed.

/// The kind of block in which something is typed.
const CONSOLE: &str = "```console";
const END: &str = "```";

/// One command, and what the page says it prints.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    /// The line of the page, from 1.
    pub(super) line: usize,
    /// Whose prompt it stands at.
    pub(super) machine: String,
    /// What is typed, of several lines where it has a here-document, an open quote or a `\` at the
    /// end.
    pub(super) command: String,
    /// What is printed, a line each.
    pub(super) told: Vec<String>,
}

/// The commands of a page's console blocks, in order.
pub(super) fn typed(page: &str) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    let mut inside = false;
    for (number, line) in (1..).zip(page.lines()) {
        match line {
            CONSOLE => inside = true,
            END => inside = false,
            _ if !inside => {}
            _ => match all.last_mut().filter(|last| is_open(&last.command)) {
                Some(open) => {
                    open.command.push('\n');
                    open.command.push_str(line);
                }
                None => match prompt(line) {
                    Some((machine, command)) => all.push(Typed {
                        line: number,
                        machine: machine.to_owned(),
                        command: command.to_owned(),
                        told: Vec::new(),
                    }),
                    None => all
                        .last_mut()
                        .expect("a prompt first")
                        .told
                        .push(line.into()),
                },
            },
        }
    }
    all
}

fn prompt(line: &str) -> Option<(&str, &str)> {
    let (machine, command) = line.split_once("$ ")?;
    let named = |letter: char| letter.is_ascii_lowercase() || letter == '-';
    (!machine.is_empty() && machine.chars().all(named)).then_some((machine, command))
}

/// Whether more of the command is to come.
fn is_open(command: &str) -> bool {
    if command.contains("<<") {
        return !command.ends_with("\nEND");
    }
    command.ends_with('\\') || command.matches('\'').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_what_they_print_over_several_lines_too() {
        let page = "a$ no\n```console\na-b$ one 'x\n  y'\ntold\n\nc$ two <<END\na$ z\nEND\n```\n\
                    ```sh\na$ no\n```\n```console\nc$ three \\\n  four\n$ told\n```\n";
        let typed: Vec<_> = typed(page)
            .into_iter()
            .map(|one| (one.line, one.machine, one.command, one.told))
            .collect();
        let of = |line, machine: &str, command: &str, told: &[&str]| {
            let told: Vec<String> = told.iter().map(|&line| line.to_owned()).collect();
            (line, machine.to_owned(), command.to_owned(), told)
        };
        assert_eq!(
            typed,
            [
                of(3, "a-b", "one 'x\n  y'", &["told", ""]),
                of(7, "c", "two <<END\na$ z\nEND", &[]),
                of(15, "c", "three \\\n  four", &["$ told"]),
            ]
        );
    }
}

//! XGBoost in a Python process that holds the table.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use super::shapes::Shape;

/// Python with XGBoost, and where tables are kept.
pub(super) struct Python {
    pub(super) program: OsString,
    pub(super) tables: PathBuf,
}

/// A process that answers questions.
pub(super) struct Theirs {
    process: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn script(&self, name: &str) -> Command {
        let folder = mc2_tests::package().join("../workloads/xgboost/tests/bench");
        let mut command = Command::new(&self.program);
        command.arg(folder.join(name));
        // Nothing is left in the checkout.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// The file of a table, which is there once a process for its shape was started.
    pub(super) fn table(&self, name: &str) -> PathBuf {
        self.tables.join(format!("{name}.parquet"))
    }

    /// Seconds of a whole script: Python starts, imports XGBoost, reads, trains and writes the model.
    pub(super) fn whole(&self, shape: &Shape, model: &Path) -> f64 {
        let start = Instant::now();
        let status = self
            .script("whole.py")
            .arg(self.table(shape.table))
            .args([shape.rounds.to_string(), shape.json()])
            .arg(model)
            .status()
            .expect("Python starts");
        let seconds = start.elapsed().as_secs_f64();
        assert!(status.success(), "{}: whole.py failed", shape.name);
        seconds
    }
}

impl Theirs {
    pub(super) fn start(python: &Python, shape: &Shape) -> Self {
        let mut process = python
            .script("bench.py")
            .arg(&python.tables)
            .args([shape.table, &shape.rounds.to_string(), &shape.json()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let (questions, answers) = (process.stdin.take(), process.stdout.take());
        let mut theirs = Self {
            process,
            questions,
            answers: BufReader::new(answers.expect("a pipe")),
        };
        assert_eq!(theirs.answer(), "ready");
        theirs
    }

    pub(super) fn ask(&mut self, question: &str) -> f64 {
        let questions = self.questions.as_mut().expect("open until dropped");
        writeln!(questions, "{question}").expect("Python listens");
        self.answer().parse().expect("a number")
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Python answers");
        line.trim().to_owned()
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        // It ends at the end of its input.
        self.questions = None;
        let _ = self.process.wait();
    }
}

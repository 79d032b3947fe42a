//! The command lines of a job's steps, made of what its policy fixes and what a person gives.

use std::collections::{BTreeMap, BTreeSet};

use mc2_protocol::{
    Name,
    policy::{self, JobRule, Pattern, Step},
};

use crate::terminal::listed;

/// What a person gives for the steps of a job.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// For the one step whose command line the policy leaves open.
    pub open: Vec<String>,
    /// For steps by their number, from 1.
    pub steps: BTreeMap<usize, Vec<String>>,
    /// Values of the parameters of fixed queries.
    pub params: BTreeMap<Name, String>,
}

/// Why a job has no command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// No such step.
    #[error("the job {job} has no step {step}; it has {steps}")]
    NoStep {
        /// The job.
        job: Name,
        /// The number given.
        step: usize,
        /// How many it has.
        steps: usize,
    },
    /// Nobody knows whose they are.
    #[error(
        "the arguments after -- are one step's, and the policy leaves {found} steps of {job} open: \
         say whose each is with --arg STEP=VALUE"
    )]
    WhichStep {
        /// The job.
        job: Name,
        /// How many steps are open.
        found: usize,
    },
    /// Another number than the policy leaves open.
    #[error(
        "step {step} of {job} leaves {expected} arguments open, and {found} were given: give one \
         for each of {open}, or the whole command line"
    )]
    Count {
        /// The job.
        job: Name,
        /// The step's number.
        step: usize,
        /// How many are open.
        expected: usize,
        /// How many were given.
        found: usize,
        /// What each may be.
        open: String,
    },
    /// A query without a value.
    #[error("the query of step {step} of {job} needs a value: --param {name}=VALUE")]
    NoValue {
        /// The job.
        job: Name,
        /// The step's number.
        step: usize,
        /// The parameter.
        name: Name,
    },
    /// A value for a query that is written out.
    #[error(
        "step {step} of {job} was given its whole command line, and so its parameters too: leave \
         --param {name}=… out, or give what the policy leaves open alone"
    )]
    Both {
        /// The job.
        job: Name,
        /// The step's number.
        step: usize,
        /// The parameter.
        name: Name,
    },
    /// A value for no query.
    #[error("no query of {job} has a parameter {name}; those it has are: {known}")]
    NoParameter {
        /// The job.
        job: Name,
        /// The parameter given.
        name: Name,
        /// Those of the job's queries.
        known: String,
    },
}

impl Arguments {
    /// The command line of each step of a job. Whether the policy allows it is
    /// [`Policy::draft`](policy::Policy::draft)'s to say.
    ///
    /// # Errors
    /// [`ArgumentError`].
    pub fn fill(&self, job: &JobRule) -> Result<Vec<Vec<String>>, ArgumentError> {
        self.check_names(job)?;
        let mut given = self.steps.clone();
        if !self.open.is_empty() {
            let open: Vec<usize> = (1..)
                .zip(&job.steps)
                .filter(|(number, step)| is_open(step) && !given.contains_key(number))
                .map(|(number, _)| number)
                .collect();
            let number = match open[..] {
                [number] => number,
                [] if job.steps.len() == 1 => 1,
                _ => {
                    return Err(ArgumentError::WhichStep {
                        job: job.name.clone(),
                        found: open.len(),
                    });
                }
            };
            given.insert(number, self.open.clone());
        }
        let steps = (1..).zip(&job.steps);
        steps
            .map(|(number, step)| {
                let given = given.get(&number).map_or(&[][..], Vec::as_slice);
                self.step(job, number, step, given)
            })
            .collect()
    }

    fn step(
        &self,
        job: &JobRule,
        number: usize,
        step: &Step,
        given: &[String],
    ) -> Result<Vec<String>, ArgumentError> {
        let policy::Arguments::Listed(patterns) = &step.arguments else {
            return Ok(given.to_vec());
        };
        let open: Vec<&Pattern> = patterns.iter().filter(|one| is_hole(one)).collect();
        // The whole command line, which has as many as are open only where all are.
        let fixed = patterns.iter().map(length).sum::<usize>();
        if given.len() == fixed && given.len() != open.len() {
            let mut both = parameters(step).into_iter();
            return match both.find(|name| self.params.contains_key(*name)) {
                None => Ok(given.to_vec()),
                Some(name) => Err(ArgumentError::Both {
                    job: job.name.clone(),
                    step: number,
                    name: name.clone(),
                }),
            };
        }
        if given.len() != open.len() {
            return Err(ArgumentError::Count {
                job: job.name.clone(),
                step: number,
                expected: open.len(),
                found: given.len(),
                open: listed(open),
            });
        }
        let mut values = given.iter();
        let mut line = Vec::with_capacity(fixed);
        for pattern in patterns {
            match pattern {
                Pattern::Literal(text) => line.push(text.clone()),
                Pattern::FixedSql(sql) => {
                    line.push(sql.text.clone());
                    for (name, _) in &sql.params {
                        let value = self.params.get(name);
                        let value = value.ok_or_else(|| ArgumentError::NoValue {
                            job: job.name.clone(),
                            step: number,
                            name: name.clone(),
                        })?;
                        line.push("--param".to_owned());
                        line.push(format!("{name}={value}"));
                    }
                }
                // As many as were counted.
                _ => line.extend(values.next().cloned()),
            }
        }
        Ok(line)
    }

    /// Every step and parameter that was given is one of the job's.
    fn check_names(&self, job: &JobRule) -> Result<(), ArgumentError> {
        let steps = job.steps.len();
        if let Some(step) = self.steps.keys().find(|step| !(1..=steps).contains(*step)) {
            return Err(ArgumentError::NoStep {
                job: job.name.clone(),
                step: *step,
                steps,
            });
        }
        let known: BTreeSet<&Name> = job.steps.iter().flat_map(parameters).collect();
        match self.params.keys().find(|name| !known.contains(name)) {
            None => Ok(()),
            Some(name) => Err(ArgumentError::NoParameter {
                job: job.name.clone(),
                name: name.clone(),
                known: if known.is_empty() {
                    "none".to_owned()
                } else {
                    listed(known)
                },
            }),
        }
    }
}

fn parameters(step: &Step) -> Vec<&Name> {
    let policy::Arguments::Listed(patterns) = &step.arguments else {
        return Vec::new();
    };
    let queries = patterns.iter().filter_map(|pattern| match pattern {
        Pattern::FixedSql(sql) => Some(&sql.params),
        _ => None,
    });
    queries.flatten().map(|(name, _)| name).collect()
}

/// Whether a person must give something for the step.
fn is_open(step: &Step) -> bool {
    match &step.arguments {
        policy::Arguments::Any => true,
        policy::Arguments::Listed(patterns) => patterns.iter().any(is_hole),
    }
}

const fn is_hole(pattern: &Pattern) -> bool {
    !matches!(pattern, Pattern::Literal(_) | Pattern::FixedSql(_))
}

/// How many arguments a pattern stands for.
fn length(pattern: &Pattern) -> usize {
    match pattern {
        Pattern::FixedSql(sql) => 1 + 2 * sql.params.len(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use mc2_protocol::{Digest, Identity, policy::Policy};

    use super::*;

    fn job_of(steps: &[&str]) -> JobRule {
        let me = Identity::generate("me".parse().unwrap(), &mut crate::random());
        let mut text = format!(
            "version = 1\nname = \"x\"\nexpires = 2999-12-31T00:00:00Z\n[enclave]\ntee = [\"sim\"]\n\
             platforms = \"any\"\ntcb = \"up-to-date\"\n[[party]]\ncard = \"{}\"\n\
             [[component]]\nname = \"sql\"\nsha256 = \"{}\"\n[[job]]\nname = \"run\"\n\
             submit = [\"me\"]\nruns = 1\n\
             limits = {{ memory = \"1GiB\", time = \"1min\", output = \"1MiB\" }}\n",
            me.card(),
            Digest::of(b"component"),
        );
        for arguments in steps {
            text.push_str(&format!(
                "[[job.step]]\ncomponent = \"sql\"\nargs = {arguments}\n"
            ));
        }
        let policy =
            Policy::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
        policy.jobs()[0].clone()
    }

    fn open(values: &[&str]) -> Arguments {
        Arguments {
            open: values.iter().map(|&value| value.to_owned()).collect(),
            ..Arguments::default()
        }
    }

    const TRAIN: &str =
        r#"["train", "--rounds", { number = [1, 9] }, "--objective", { one_of = ["a", "b"] }]"#;

    #[test]
    fn what_the_policy_fixes_is_filled_in_and_the_whole_line_is_taken_too() {
        let job = job_of(&[TRAIN]);
        let whole = ["train", "--rounds", "3", "--objective", "a"];
        assert_eq!(open(&["3", "a"]).fill(&job).unwrap(), [whole]);
        assert_eq!(open(&whole).fill(&job).unwrap(), [whole]);
        let error = open(&["3"]).fill(&job).unwrap_err();
        assert!(matches!(
            error,
            ArgumentError::Count {
                expected: 2,
                found: 1,
                ..
            }
        ));
    }

    #[test]
    fn arguments_go_to_the_one_open_step_and_others_are_named() {
        let job = job_of(&[r#"["a", "b"]"#, TRAIN]);
        let lines = open(&["3", "a"]).fill(&job).unwrap();
        assert_eq!(lines[0], ["a", "b"]);
        assert_eq!(lines[1].len(), 5);

        let two = job_of(&[TRAIN, r#""any""#]);
        let error = open(&["3", "a"]).fill(&two).unwrap_err();
        assert!(matches!(error, ArgumentError::WhichStep { found: 2, .. }));
        let mut given = open(&["3", "a"]);
        given.steps.insert(2, vec!["x".to_owned()]);
        assert_eq!(given.fill(&two).unwrap()[1], ["x"]);
        given.steps.insert(3, Vec::new());
        let error = given.fill(&two).unwrap_err();
        assert!(matches!(error, ArgumentError::NoStep { step: 3, .. }));
    }

    #[test]
    fn each_parameter_of_a_query_gets_its_value_and_no_other_is_taken() {
        let job = job_of(&[
            r#"["--format", { fixed_sql = "select $a, $b", params = { b = "text", a = "number" } }]"#,
        ]);
        let mut given = Arguments::default();
        given.params.insert("a".parse().unwrap(), "1".to_owned());
        let error = given.fill(&job).unwrap_err();
        assert!(matches!(error, ArgumentError::NoValue { .. }), "{error}");
        given.params.insert("b".parse().unwrap(), "x=y".to_owned());
        let line = [
            "--format",
            "select $a, $b",
            "--param",
            "a=1",
            "--param",
            "b=x=y",
        ];
        assert_eq!(given.fill(&job).unwrap(), [line]);
        assert_eq!(open(&line).fill(&job).unwrap(), [line]);
        given.open = line.map(str::to_owned).to_vec();
        let error = given.fill(&job).unwrap_err();
        assert!(matches!(error, ArgumentError::Both { .. }), "{error}");
        given.open.clear();
        given.params.insert("c".parse().unwrap(), String::new());
        let error = given.fill(&job).unwrap_err();
        assert!(matches!(error, ArgumentError::NoParameter { .. }));
    }
}

//! The questions, in the order in which they are asked.

use super::draft::{Draft, duration, name, one, size, word};

/// One question: what it asks, what it takes for an answer, and where that goes.
pub(super) struct Question {
    /// The flag that answers it.
    pub(super) flag: &'static str,
    /// Whether several answers are taken.
    pub(super) many: bool,
    /// Whether a script may leave it out and means the default.
    pub(super) optional: bool,
    /// The question.
    pub(super) text: fn(&Draft<'_>, usize) -> String,
    /// The only answer there is, where there is but one: it is not asked then.
    pub(super) certain: fn(&Draft<'_>, usize) -> Option<Vec<String>>,
    /// What an empty line means on a terminal.
    pub(super) default: fn(&Draft<'_>, usize) -> Option<Vec<String>>,
    /// Takes the answer, or says what was expected and found.
    pub(super) take: fn(&mut Draft<'_>, usize, &[String]) -> Result<(), String>,
}

impl Question {
    /// The flag as it is typed, for this step.
    pub(super) fn flag_for(&self, step: usize) -> String {
        match step {
            0 => format!("--{}", self.flag),
            _ => format!("--{} {}:…", self.flag, step + 1),
        }
    }
}

/// A question of one answer, which has no default.
const ONE: Question = Question {
    flag: "",
    many: false,
    optional: false,
    text: |_, _| String::new(),
    certain: |_, _| None,
    default: |_, _| None,
    take: |_, _, _| Ok(()),
};
const MANY: Question = Question { many: true, ..ONE };

/// What is asked of the policy and its job.
pub(super) const OF_POLICY: &[Question] = &[
    Question {
        flag: "name",
        text: |_, _| "What is the policy called?".to_owned(),
        take: |draft, _, values| {
            draft.name = name(one(values, "a name")?)?;
            Ok(())
        },
        ..ONE
    },
    Question {
        flag: "party",
        text: |draft, _| {
            let known = draft.known_names().join(", ");
            format!("Who takes part? Names of known cards ({known}), or cards' files.")
        },
        take: |draft, _, values| draft.take_parties(values),
        ..MANY
    },
    Question {
        flag: "expires",
        text: |_, _| {
            "When does it end? From then on nobody releases a key under it. A time such as \
             2027-01-31T00:00:00Z, or days from now such as 90d."
                .to_owned()
        },
        take: |draft, _, values| draft.take_expires(one(values, "a time")?),
        ..ONE
    },
    Question {
        flag: "tee",
        text: |_, _| {
            "Which kinds of enclave are accepted? sgx, tdx, sev-snp, nitro, azure-vtpm; or sim \
             alone, to rehearse: NOT SECURE."
                .to_owned()
        },
        take: |draft, _, values| draft.take_tees(values),
        ..MANY
    },
    Question {
        flag: "platform",
        text: |_, _| {
            "Which machines? chip:…, piid:…, vlek:…; or any: then one broken chip anywhere can pose \
             as this enclave."
                .to_owned()
        },
        certain: |draft, _| draft.simulated().then(|| vec!["any".to_owned()]),
        take: |draft, _, values| draft.take_platforms(values),
        ..MANY
    },
    Question {
        flag: "tcb",
        text: |_, _| {
            "Which states of their firmware? up-to-date, or statuses such as UpToDate and \
             SWHardeningNeeded."
                .to_owned()
        },
        certain: |draft, _| draft.simulated().then(|| vec!["up-to-date".to_owned()]),
        default: |_, _| Some(vec!["up-to-date".to_owned()]),
        take: |draft, _, values| draft.take_tcb(values),
        ..MANY
    },
    Question {
        flag: "visible",
        text: |_, _| {
            "What may the host see? access: which parts of the data are read, fast; volume: sizes \
             only."
                .to_owned()
        },
        take: |draft, _, values| {
            draft.visible = word(values, &["access", "volume"])?;
            Ok(())
        },
        ..ONE
    },
    Question {
        flag: "component",
        text: |_, _| {
            "Which components may run? NAME=FILE.wasm, or NAME=SHA256 of the file.".to_owned()
        },
        take: |draft, _, values| draft.take_components(values),
        ..MANY
    },
    Question {
        flag: "dataset",
        optional: true,
        text: |draft, _| {
            let parties = draft.party_names().join(", ");
            format!(
                "Which datasets, and whose? NAME=OWNER of {parties}, or NAME=OWNER:OBJECT for one \
                 version alone."
            )
        },
        default: |_, _| Some(Vec::new()),
        take: |draft, _, values| draft.take_datasets(values),
        ..MANY
    },
    Question {
        flag: "job",
        text: |_, _| "What is the job called?".to_owned(),
        take: |draft, _, values| {
            draft.job = name(one(values, "a name")?)?;
            Ok(())
        },
        ..ONE
    },
    Question {
        flag: "submit",
        text: |draft, _| format!("Who may submit it? Of {}.", draft.party_names().join(", ")),
        certain: |draft, _| draft.of_one_party().then(|| draft.party_names()),
        take: |draft, _, values| draft.take_submit(values),
        ..MANY
    },
    Question {
        flag: "approve",
        text: |draft, _| {
            let parties = draft.party_names().join(", ");
            format!("Whose approval does it need? all, or names of {parties}.")
        },
        certain: |draft, _| draft.of_one_party().then(|| vec!["none".to_owned()]),
        default: |_, _| Some(vec!["all".to_owned()]),
        take: |draft, _, values| draft.take_approve(values),
        ..MANY
    },
    Question {
        flag: "at-least",
        optional: true,
        text: |draft, _| format!("How many of these {} must approve?", draft.approvers()),
        certain: |draft, _| (draft.approvers() < 2).then(|| vec![draft.approvers().to_string()]),
        default: |draft, _| Some(vec![draft.approvers().to_string()]),
        take: |draft, _, values| match draft.approvers() {
            0 => Ok(()),
            _ => draft.take_at_least(one(values, "a number")?),
        },
        ..ONE
    },
    Question {
        flag: "when",
        text: |_, _| {
            "What do they approve? job: every single job, shown whole; session: this policy, once in \
             a session."
                .to_owned()
        },
        certain: |draft, _| (draft.approvers() == 0).then(|| vec!["session".to_owned()]),
        take: |draft, _, values| {
            draft.when = word(values, &["job", "session"])?;
            Ok(())
        },
        ..ONE
    },
    Question {
        flag: "runs",
        text: |_, _| "How often may one session run it?".to_owned(),
        take: |draft, _, values| {
            let text = one(values, "a number")?;
            let runs = text.parse::<u32>().ok().filter(|runs| *runs > 0);
            draft.runs = runs.ok_or_else(|| format!("expected 1 or more, found {text}"))?;
            Ok(())
        },
        ..ONE
    },
    Question {
        flag: "memory",
        text: |_, _| "How much memory may a run have?".to_owned(),
        default: |_, _| Some(vec!["3GiB".to_owned()]),
        take: |draft, _, values| {
            draft.memory = size(one(values, "a size")?)?;
            Ok(())
        },
        ..ONE
    },
    Question {
        flag: "time",
        text: |_, _| "How long may a run take?".to_owned(),
        default: |_, _| Some(vec!["30min".to_owned()]),
        take: |draft, _, values| {
            draft.time = duration(one(values, "a time")?)?;
            Ok(())
        },
        ..ONE
    },
    Question {
        flag: "output-limit",
        text: |_, _| "How much may a run leave in all?".to_owned(),
        default: |_, _| Some(vec!["64MiB".to_owned()]),
        take: |draft, _, values| {
            draft.output = size(one(values, "a size")?)?;
            Ok(())
        },
        ..ONE
    },
    Question {
        flag: "errors",
        text: |_, _| {
            "What may a failed run say in its component's own words, which may quote what it read? \
             full: all of it; none: nothing; or the codes of which one may pass, with an input's name \
             and two numbers."
                .to_owned()
        },
        certain: |draft, _| draft.of_one_party().then(|| vec!["full".to_owned()]),
        take: |draft, _, values| draft.take_errors(values),
        ..MANY
    },
    Question {
        flag: "step",
        text: |_, _| "Which component is each step, in order?".to_owned(),
        default: |draft, _| match draft.components.as_slice() {
            [(only, _)] => Some(vec![only.to_string()]),
            _ => None,
        },
        take: |draft, _, values| draft.take_steps(values),
        ..MANY
    },
];

/// What is asked of each step.
pub(super) const OF_STEP: &[Question] = &[
    Question {
        flag: "input",
        text: |draft, step| {
            format!(
                "Step {}, {}: what does it find under /in? NAME=dataset:DATASET, or NAME=step:OUTPUT \
                 of an earlier step; none for nothing.",
                step + 1,
                draft.steps[step].component
            )
        },
        certain: |draft, step| {
            (step == 0 && draft.datasets.is_empty()).then(|| vec!["none".to_owned()])
        },
        default: |draft, step| {
            let datasets = draft.datasets.iter();
            let all = datasets.map(|dataset| format!("{0}=dataset:{0}", dataset.name));
            (step == 0).then(|| all.collect())
        },
        take: |draft, step, values| draft.take_inputs(step, values),
        ..MANY
    },
    Question {
        flag: "args",
        text: |draft, step| {
            format!(
                "Step {}, {}: what may its arguments be? A list as it stands in a policy, such as \
                 [\"train\", {{ number = [1, 9] }}], [] for none; or any: then the submitter may ask \
                 anything.",
                step + 1,
                draft.steps[step].component
            )
        },
        take: |draft, step, values| draft.take_args(step, one(values, "a list, or any")?),
        ..ONE
    },
    Question {
        flag: "output",
        text: |draft, step| {
            format!(
                "Step {}, {}: what does it leave, and who gets it? NAME=PARTY,PARTY for a file of \
                 /out, NAME/=PARTY for a folder, NAME=step for later steps; stdout, stderr, \
                 progress, error and usage likewise; none for nothing.",
                step + 1,
                draft.steps[step].component
            )
        },
        take: |draft, step, values| match values {
            [] => Err("name an output, or none".to_owned()),
            values => draft.take_outputs(step, values),
        },
        ..MANY
    },
    Question {
        flag: "padding",
        text: |_, step| {
            format!(
                "Step {}: how are the lengths of its outputs hidden from the host? exact (not at \
                 all), power-of-two, or one size such as 1MiB.",
                step + 1
            )
        },
        certain: |draft, step| (!draft.releases(step)).then(|| vec!["none".to_owned()]),
        default: |_, _| Some(vec!["power-of-two".to_owned()]),
        take: |draft, step, values| draft.take_padding(step, one(values, "how")?),
        ..ONE
    },
];

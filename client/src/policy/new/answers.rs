//! The answers a command line gives beforehand.

use super::NewPolicyError;

/// Answers by flag. What concerns a step may begin with its number and a colon, `2:train=…`;
/// without one it concerns the first.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Answers {
    /// The policy's name
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// When it ends: 2027-01-31T00:00:00Z, or so many days from now, 90d
    #[arg(long, value_name = "TIME")]
    pub expires: Option<String>,
    /// A party: the name of a known card, or a card's file; once for each
    #[arg(long, value_name = "NAME|FILE")]
    pub party: Vec<String>,
    /// A component as NAME=FILE.wasm or NAME=SHA256; once for each
    #[arg(long, value_name = "NAME=FILE")]
    pub component: Vec<String>,
    /// A dataset as NAME=OWNER, or NAME=OWNER:OBJECT for one version alone; once for each
    #[arg(long, value_name = "NAME=OWNER")]
    pub dataset: Vec<String>,
    /// An accepted kind of enclave: sgx, tdx, sev-snp, nitro, azure-vtpm; or sim alone, NOT SECURE
    #[arg(long, value_name = "TEE")]
    pub tee: Vec<String>,
    /// An accepted machine: chip:…, piid:…, vlek:…; or any
    #[arg(long, value_name = "ID|any")]
    pub platform: Vec<String>,
    /// up-to-date, or an accepted status; once for each
    #[arg(long, value_name = "STATUS")]
    pub tcb: Vec<String>,
    /// What the host may see: access or volume
    #[arg(long, value_name = "WHAT")]
    pub visible: Option<String>,
    /// The job's name
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
    /// A party that may submit it; once for each
    #[arg(long, value_name = "PARTY")]
    pub submit: Vec<String>,
    /// Whose approval it needs: all, none (of one party), or names; with --at-least so many of them
    #[arg(long, value_name = "PARTY")]
    pub approve: Vec<String>,
    /// How many of those must approve; all where it is not given
    #[arg(long, value_name = "N")]
    pub at_least: Option<String>,
    /// What they approve: session or job
    #[arg(long, value_name = "WHAT")]
    pub when: Option<String>,
    /// How often one session runs it
    #[arg(long, value_name = "N")]
    pub runs: Option<String>,
    /// The most memory of a run, 3GiB
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// The longest run, 30min
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// The most a run may leave, 64MiB
    #[arg(long, value_name = "SIZE")]
    pub output_limit: Option<String>,
    /// What a failed run may say in its component's own words: full, none, or a code; once for each
    /// code
    #[arg(long, value_name = "full|none|CODE")]
    pub errors: Vec<String>,
    /// A step's component; once for each step, in order
    #[arg(long, value_name = "COMPONENT")]
    pub step: Vec<String>,
    /// An input as `[STEP:]NAME=dataset:DATASET` or `[STEP:]NAME=step:OUTPUT`; once for each
    #[arg(long, value_name = "[STEP:]NAME=FROM")]
    pub input: Vec<String>,
    /// A step's arguments as `[STEP:]LIST`, as they stand in a policy, or any
    #[arg(long, value_name = "[STEP:]LIST")]
    pub args: Vec<String>,
    /// An output as `[STEP:]NAME=PARTY,PARTY`, `[STEP:]NAME=step` or `[STEP:]NAME=` for nobody; once for
    /// each
    #[arg(long, value_name = "[STEP:]NAME=TO")]
    pub output: Vec<String>,
    /// How lengths of outputs are hidden: `[STEP:]exact`, `power-of-two` or a size that all have
    #[arg(long, value_name = "[STEP:]HOW")]
    pub padding: Vec<String>,
}

impl Answers {
    /// What was given for this flag, of a step's for that step, counted from 0.
    pub(super) fn of(&self, flag: &str, step: usize) -> Result<Vec<String>, NewPolicyError> {
        let one = |value: &Option<String>| value.iter().cloned().collect();
        Ok(match flag {
            "name" => one(&self.name),
            "expires" => one(&self.expires),
            "party" => self.party.clone(),
            "component" => self.component.clone(),
            "dataset" => self.dataset.clone(),
            "tee" => self.tee.clone(),
            "platform" => self.platform.clone(),
            "tcb" => self.tcb.clone(),
            "visible" => one(&self.visible),
            "job" => one(&self.job),
            "submit" => self.submit.clone(),
            "approve" => self.approve.clone(),
            "at-least" => one(&self.at_least),
            "when" => one(&self.when),
            "runs" => one(&self.runs),
            "memory" => one(&self.memory),
            "time" => one(&self.time),
            "output-limit" => one(&self.output_limit),
            "errors" => self.errors.clone(),
            "step" => self.step.clone(),
            "input" => of_step("input", &self.input, step, self.step.len())?,
            "args" => of_step("args", &self.args, step, self.step.len())?,
            "output" => of_step("output", &self.output, step, self.step.len())?,
            "padding" => of_step("padding", &self.padding, step, self.step.len())?,
            other => unreachable!("no question asks for {other}"),
        })
    }
}

/// Those of `values` that are for `step`, without its number.
fn of_step(
    flag: &str,
    values: &[String],
    step: usize,
    steps: usize,
) -> Result<Vec<String>, NewPolicyError> {
    let mut found = Vec::new();
    for value in values {
        let (number, rest) = match value.split_once(':') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                (number.parse().unwrap_or(0), rest)
            }
            _ => (1, value.as_str()),
        };
        if number == 0 || (steps > 0 && number > steps) {
            return Err(NewPolicyError::Answer {
                flag: format!("--{flag}"),
                reason: format!(
                    "{value} is for step {number}, expected 1 to {steps}: as many as --step names"
                ),
            });
        }
        if number == step + 1 {
            found.push(rest.to_owned());
        }
    }
    Ok(found)
}

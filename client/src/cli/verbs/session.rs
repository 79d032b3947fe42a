//! `mc2 session` and `mc2 attest`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mc2_protocol::{Digest, documents::hosting::SessionState};
use serde_json::json;

use super::{Common, Context, Place, Told, line, status::Status};
use crate::{
    checks,
    exit::Exit,
    http::HostAddress,
    policy::{approval::policy_text, read_policy, rfc3339},
    terminal::printable,
    verbs::{At, Attested, VerbError},
};

/// What is done with a session.
#[derive(Subcommand)]
pub enum SessionCommand {
    /// Open a session under a policy, and appraise it
    Open(Open),
    /// List the sessions that are known here, or those at a host that one is a party of
    List(SessionList),
    /// Join a session that another party opened, under the policy that is here, and appraise it
    Join(Join),
    /// Say who approved and released what, and which jobs run or are proposed to this party
    Status(Status),
    /// End a session that was opened from here: its enclave forgets its keys
    End(End),
}

#[derive(Args)]
pub struct Open {
    /// The policy's file
    policy: PathBuf,
    #[command(flatten)]
    place: Place,
    /// A component the policy names: measured here, and sent to a host that lacks it; repeatable
    #[arg(long, value_name = "FILE")]
    component: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub struct Join {
    /// The session's digest, as the party that opened it tells it
    session: Digest,
    /// The policy's file: the session's must be the same, byte for byte; what the host gives where
    /// there is none, which is then shown
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// A component the policy names, measured here; repeatable
    #[arg(long, value_name = "FILE")]
    component: Vec<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub struct SessionList {
    /// Ask this host which sessions there are whose policy names one of your cards
    #[arg(long, value_name = "URL")]
    host: Option<HostAddress>,
    /// The certificate authorities of the host, a PEM file, rather than this system's
    #[arg(long, value_name = "FILE", requires = "host")]
    host_ca: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub struct End {
    /// The session's digest, or its first 8 digits or more
    session: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub struct Attest {
    /// The session's digest, or its first 8 digits or more
    session: String,
    /// A component the policy names, measured here; repeatable
    #[arg(long, value_name = "FILE")]
    component: Vec<PathBuf>,
    /// Also write what was found to a file, as an EAT attestation result (EAR) in a JWT that this party
    /// signs
    #[arg(long, value_name = "FILE")]
    ear: Option<PathBuf>,
    #[command(flatten)]
    pub(super) common: Common,
}

impl SessionCommand {
    pub(super) async fn run(self, context: &Context) -> Result<Told, VerbError> {
        let member = &context.member;
        match self {
            Self::Open(open) => {
                let policy = read_policy(&open.policy)?;
                let at = at(open.place, open.component);
                let attested = tokio::select! {
                    attested = member.open_session(policy, &at) => attested?,
                    exit = context.stop.asked() => return Err(VerbError::Stopped(exit)),
                };
                let mut told = attested_told(&attested);
                if attested.is_accepted() {
                    told.text.push_str(&format!(
                        "next: the other parties run `mc2 session join {} --host {} --policy \
                         FILE`\n",
                        attested.session, attested.host
                    ));
                }
                Ok(told)
            }
            Self::Join(join) => {
                let at = at(join.place, join.component);
                let policy = match &join.policy {
                    Some(path) => read_policy(path)?,
                    None => {
                        let policy = member.policy_of(&join.session, &at).await?;
                        eprint!("{}", policy_text(&policy));
                        policy
                    }
                };
                let attested = member.join_session(&join.session, policy, &at).await?;
                Ok(attested_told(&attested))
            }
            Self::List(asked) => match asked.host {
                None => list(context),
                Some(host) => {
                    list_at(
                        context,
                        Place {
                            host,
                            host_ca: asked.host_ca,
                        },
                    )
                    .await
                }
            },
            Self::Status(status) => status.run(context).await,
            Self::End(end) => {
                let entered = member.enter(&end.session)?;
                entered.followed()?.end(&entered.identity).await?;
                let session = entered.known.session;
                let text = format!("session {session} is over: its enclave forgot its keys\n");
                Ok(Told::done("ended", text, json!({ "session": session })))
            }
        }
    }

    pub(super) const fn common(&self) -> &Common {
        match self {
            Self::Open(open) => &open.common,
            Self::Join(join) => &join.common,
            Self::List(list) => &list.common,
            Self::Status(status) => &status.common,
            Self::End(end) => &end.common,
        }
    }
}

impl Attest {
    pub(super) async fn run(self, context: &Context) -> Result<Told, VerbError> {
        let attested = context.member.attest(&self.session, self.component).await?;
        if let Some(path) = &self.ear {
            let party = context.member.enter(&self.session)?.identity;
            let written = attested.to_ear().write(&party, path);
            written.map_err(VerbError::Write)?;
        }
        Ok(attested_told(&attested))
    }
}

fn at(place: Place, components: Vec<PathBuf>) -> At {
    At {
        host_ca: place.whole_ca(),
        host: place.host,
        components,
    }
}

fn attested_told(attested: &Attested) -> Told {
    let accepted = attested.is_accepted();
    let (status, exit) = if accepted {
        ("accepted", Exit::Success)
    } else {
        ("refused", Exit::AttestationRefused)
    };
    let mut text = [
        line("session", attested.session),
        line("policy", format!("{}  {}", attested.policy, attested.name)),
        line("host", &attested.host),
        checks::to_text(&attested.checks),
    ]
    .concat();
    text.push_str(&line(
        "verdict",
        if accepted {
            "accepted: every check passed"
        } else {
            "refused: nothing is released to it, and it is not kept here"
        },
    ));
    if attested.simulated {
        text.push_str(&line("", "NOT SECURE: that enclave is simulated"));
    }
    let fields = json!({
        "session": attested.session,
        "policy": attested.policy,
        "name": attested.name,
        "host": attested.host,
        "simulated": attested.simulated,
        "attestation": checks::to_json(&attested.checks),
    });
    Told::ended(status, exit, text, fields)
}

async fn list_at(context: &Context, place: Place) -> Result<Told, VerbError> {
    let at = at(place, Vec::new());
    let mut text = String::new();
    let mut sessions = Vec::new();
    for one in context.member.sessions_at(&at).await? {
        let (open, told) = match one.state {
            SessionState::Open => (true, "open"),
            SessionState::Over => (false, "over"),
        };
        let known = context.member.state.session(&one.session)?.is_some();
        let joined = if known { ", known here" } else { "" };
        text.push_str(&format!(
            "{}  {} of {}, opened {}, {told}{joined}\n",
            one.session,
            printable(&one.name),
            one.policy.short(),
            rfc3339(one.opened),
        ));
        sessions.push(json!({
            "session": one.session,
            "policy": one.policy,
            "name": one.name,
            "opened": one.opened,
            "open": open,
            "known": known,
        }));
    }
    if text.is_empty() {
        text = format!("no session at {} names a card of yours\n", at.host);
    }
    Ok(Told::done("listed", text, json!({ "sessions": sessions })))
}

fn list(context: &Context) -> Result<Told, VerbError> {
    let known = context.member.list()?.sessions;
    let mut text = String::new();
    let mut sessions = Vec::new();
    for (known, name) in known {
        let name = name.map_or_else(|| "?".to_owned(), |name| name.to_string());
        text.push_str(&format!(
            "{}  {name} at {}, appraised {}\n",
            known.session,
            known.host,
            rfc3339(known.appraised)
        ));
        sessions.push(json!({
            "session": known.session,
            "name": name,
            "host": known.host,
            "appraised": known.appraised,
            "own": known.own,
        }));
    }
    if text.is_empty() {
        text = "no session is known here\n".to_owned();
    }
    Ok(Told::done("listed", text, json!({ "sessions": sessions })))
}

//! How another configuration takes the place of the running one: as a whole or not at all.

use config::Config;
use config::api::ConfigReply;

/// A configuration that can be made the running one.
#[derive(Clone, Debug)]
pub struct Plan {
    /// It.
    pub config: Config,
    /// What it changes, and what that disturbs.
    pub reply: ConfigReply,
}

/// Checks `text` and compares it with the running configuration; `file` names it in messages.
///
/// # Errors
/// All that is wrong with it, or what of it needs a restart of the process. Nothing changes then.
pub fn plan(running: &Config, text: &str, file: &str) -> Result<Plan, Vec<String>> {
    let config = config::load(text, file)
        .map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let diff = config::diff(running, &config);
    if diff.needs_restart.is_empty() {
        Ok(Plan { reply: diff.reply(), config })
    } else {
        Err(diff
            .needs_restart
            .iter()
            .map(|line| format!("{line}: needs a restart of vrouterd"))
            .collect())
    }
}

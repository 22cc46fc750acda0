//! `resolve`: what a path is now.

use super::Question;
use super::view::Resolved;
use crate::resolver::{connect, words};
use crate::settings::Settings;

/// The tree and the addresses.
pub(crate) async fn resolve(settings: &Settings, question: &Question) -> anyhow::Result<()> {
    let mut client = connect(settings).await?;
    let answer = client.resolve(question.request(settings)).await;
    let resolved = Resolved::from(answer.map_err(|s| words(&s))?.into_inner());
    let output = settings.output;
    output.show(&resolved, |format| resolved.text(output, format))
}

//! The stages of a caster or node in their order, and the passage of a message through them.

use crate::error::{Error, ErrorCode, Result};
use crate::message::{Message, Remote};
use crate::middleware::stage::{HostStage, InProgress, Incoming, Reject, Stage, Walk};
use crate::secure::sealer::Sealer;
use std::sync::Arc;

/// An immutable list of stages: `tx` goes from the first to the last, `rx` back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipeline {
    stages: Vec<Stage>,
    /// How many bytes the stages add at most, if all of them are the built-in ones.
    overhead: Option<usize>,
    /// The ring of secure mode.
    sealer: Option<Arc<Sealer>>,
    /// Whether the last stage stays next to the wire.
    is_sealed: bool,
}

impl Pipeline {
    /// A pipeline of these stages, from the program to the wire.
    pub fn of(stages: Vec<Stage>) -> Result<Self> {
        stages.into_iter().try_fold(Self::default(), |pipeline, stage| pipeline.with(stage))
    }

    /// All stages are the built-in ones, and they add so many bytes at most.
    pub fn built_in(self, overhead: usize) -> Self {
        Self { overhead: Some(overhead), ..self }
    }

    /// This pipeline with a stage that stays next to the wire when others are added.
    pub fn sealed_by(&self, stage: Stage) -> Result<Self> {
        Ok(Self { is_sealed: true, ..self.with(stage)? })
    }

    /// How many bytes the stages add at most. `None` if some are not the built-in ones.
    pub fn overhead(&self) -> Option<usize> {
        self.overhead
    }

    /// The ring of the stage `secure`, if there is one.
    pub fn sealer(&self) -> Option<&Arc<Sealer>> {
        self.sealer.as_ref()
    }

    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// This pipeline with one more stage next to the wire.
    pub fn with(&self, stage: Stage) -> Result<Self> {
        let name = stage.name();
        let refusal = match &stage {
            _ if name.is_empty() => "Middleware name not set",
            Stage::Host(HostStage { tx: false, rx: false, .. }) => {
                "middleware has no functionality"
            }
            _ if self.stages.iter().any(|used| used.name() == name) => "middleware already in use",
            _ => {
                let sealer = match &stage {
                    Stage::Native(middleware) => middleware.sealer(),
                    Stage::Host(_) => None,
                };
                let sealer = sealer.or(self.sealer.as_ref()).cloned();
                let mut stages = self.stages.clone();
                stages.insert(stages.len() - usize::from(self.is_sealed), stage);
                return Ok(Self { stages, overhead: None, sealer, is_sealed: self.is_sealed });
            }
        };
        Err(Error::new(ErrorCode::Middleware, refusal))
    }

    /// The stage at this place if the host runs it.
    pub fn host_stage(&self, index: usize) -> Option<&HostStage> {
        match self.stages.get(index)? {
            Stage::Host(stage) => Some(stage),
            Stage::Native(_) => None,
        }
    }

    pub fn has_host_stages(&self) -> bool {
        self.stages.iter().any(|stage| matches!(stage, Stage::Host(_)))
    }

    pub fn listens_first(&self) -> bool {
        self.stages.iter().any(|stage| match stage {
            Stage::Native(middleware) => middleware.listens_first(),
            Stage::Host(_) => false,
        })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(Stage::name)
    }

    pub fn len(&self) -> usize {
        self.stages.len()
    }

    /// Passes a message out to the wire, starting with stage `from`.
    pub fn tx(&self, from: usize, message: &mut Message) -> Result<Walk> {
        for (index, stage) in self.stages.iter().enumerate().skip(from) {
            match stage {
                Stage::Native(middleware) => middleware.tx(message)?,
                Stage::Host(stage) if stage.tx => return Ok(Walk::Host(index)),
                Stage::Host(_) => {}
            }
        }
        Ok(Walk::Done)
    }

    /// Passes messages out to the wire that go together, through all stages but those of the host.
    /// The error comes with the place of the message that it is about.
    pub fn tx_batch(&self, messages: &mut [Message]) -> Result<(), (usize, Error)> {
        self.stages.iter().try_for_each(|stage| match stage {
            Stage::Native(middleware) => middleware.tx_batch(messages),
            Stage::Host(_) => Ok(()),
        })
    }

    /// Passes a message in from the wire through the stages below `below`.
    pub fn rx(&self, below: usize, message: &mut Message, from: &Remote) -> Result<Walk, Reject> {
        for (index, stage) in self.stages.iter().enumerate().take(below).rev() {
            match stage {
                Stage::Native(middleware) => middleware.rx(message, from)?,
                Stage::Host(stage) if stage.rx => return Ok(Walk::Host(index)),
                Stage::Host(_) => {}
            }
        }
        Ok(Walk::Done)
    }

    /// Passes all messages in from the wire that are under way, to the end or to a stage of the host.
    pub fn rx_batch(&self, messages: &mut [Incoming]) {
        let end = |messages: &mut [Incoming], walk| {
            for incoming in messages {
                if let InProgress::Walking = incoming.progress {
                    incoming.progress = InProgress::Ended(Ok(walk));
                }
            }
        };
        for (index, stage) in self.stages.iter().enumerate().rev() {
            match stage {
                Stage::Native(middleware) => middleware.rx_batch(messages),
                Stage::Host(stage) if stage.rx => return end(messages, Walk::Host(index)),
                Stage::Host(_) => {}
            }
        }
        end(messages, Walk::Done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::Json;

    fn host(name: &str, tx: bool, rx: bool) -> Stage {
        HostStage { name: name.into(), token: 0, tx, rx }.into()
    }

    #[test]
    fn walks_stop_at_the_stages_of_the_host_in_either_order() {
        let pipeline = Pipeline::default().with(host("a", true, false)).unwrap();
        let pipeline = pipeline.with(Json::new().into()).unwrap();
        let pipeline = pipeline.with(host("b", true, true)).unwrap();
        let mut message = Message::json("1").unwrap();
        assert_eq!(pipeline.tx(0, &mut message).unwrap(), Walk::Host(0));
        assert_eq!(pipeline.tx(1, &mut message).unwrap(), Walk::Host(2));
        assert_eq!(pipeline.tx(3, &mut message).unwrap(), Walk::Done);
        let from = Remote::new(([127, 0, 0, 1], 1).into(), 1);
        assert_eq!(pipeline.rx(3, &mut message, &from).unwrap(), Walk::Host(2));
        assert_eq!(pipeline.rx(2, &mut message, &from).unwrap(), Walk::Done);
    }

    #[test]
    fn bad_stages_are_refused_with_the_words_of_0_1_1() {
        let pipeline = Pipeline::default().with(Json::new().into()).unwrap();
        let refusal = |stage| pipeline.with(stage).unwrap_err().message().to_owned();
        assert_eq!(refusal(Json::new().into()), "middleware already in use");
        assert_eq!(refusal(host("", true, true)), "Middleware name not set");
        assert_eq!(refusal(host("x", false, false)), "middleware has no functionality");
    }
}

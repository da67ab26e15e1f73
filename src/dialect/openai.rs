//! placeholder Deliberately absent: all.
pub struct OpenAi;
impl super::Dialect for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }
    fn path(&self, _: super::Api) -> &'static str {
        ""
    }
    fn splice(&self, _: &super::Peek, _: &[u8], _: &str, _: super::StreamUsage, _: &mut super::Splice) {}
    fn judge_event(&self, _: &[u8]) -> super::Signal {
        super::Signal::Done
    }
    fn judge_answer(&self, _: &[u8]) -> super::Answer {
        super::Answer::Unusable
    }
}

//! What does a run look like to a program? Every event one JSON object on a line of stdout, as it happens.

use super::{Interrupt, RunScreen, Screen, line};
use async_trait::async_trait;
use bldr_core::ports::{Operator, Record};

/// JSON Lines on stdout.
pub struct Json {
    screen: Screen,
    interrupt: Interrupt,
}

impl Json {
    /// Writes to this screen.
    pub fn new(screen: Screen, interrupt: Interrupt) -> Self {
        Self { screen, interrupt }
    }
}

#[async_trait]
impl Operator for Json {
    fn notify(&self, record: &Record) {
        let Ok(serde_json::Value::Object(mut object)) = serde_json::to_value(record) else { return };
        object.insert("at".into(), line::rfc3339(record.at).into());
        // The screen says the cloud itself, on every line.
        object.shift_remove("cloud");
        self.screen.json(&object);
    }
    fn interrupted(&self) -> bool {
        self.interrupt.asked()
    }
    async fn interruption(&self) {
        self.interrupt.happens().await;
    }
}

impl RunScreen for Json {
    fn note(&self, text: &str) {
        self.screen.note(text);
    }
    fn close(&self) {}
}

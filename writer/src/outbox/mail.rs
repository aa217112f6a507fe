//! Mail, by SMTP or into a directory (`remote-settings.md` §8.2).

use std::{path::Path, time::Duration};

use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    address::Envelope,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::Credentials,
        client::{Tls, TlsParameters},
        response::Category,
    },
};
use serde_json::{Value, json};

use super::{Failure, Remedy};
use crate::{
    config::{Directory, Mail, Security},
    notifications::recipients::mailbox,
    store::outbox::Claimed,
};

/// Sends mail, or leaves it.
#[derive(Debug)]
pub(super) struct Mailer {
    settings: Mail,
    smtp: AsyncSmtpTransport<Tokio1Executor>,
}

impl Mailer {
    /// Prepares the connection; opens none.
    pub(super) fn new(settings: &Mail, timeout: Duration) -> Result<Self, String> {
        let parameters = || {
            TlsParameters::new(settings.host.clone()).map_err(|error| format!("mail.host: {error}"))
        };
        let tls = match settings.security {
            Security::None => Tls::None,
            Security::StartTls => Tls::Required(parameters()?),
            Security::Tls => Tls::Wrapper(parameters()?),
        };
        let mut smtp = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .timeout(Some(timeout))
            .tls(tls);
        if let Some((user, password)) = &settings.credentials {
            smtp = smtp.credentials(Credentials::new(user.clone(), password.0.clone()));
        }
        Ok(Self { settings: settings.clone(), smtp: smtp.build() })
    }

    /// Delivers a mail to all its recipients, or to none. Where the server refuses it for one of
    /// several, each gets it on its own.
    pub(super) async fn deliver(&self, entry: &Claimed) -> Result<(), Failure> {
        let letter = Letter::read(&entry.payload, &self.settings.sender)
            .ok_or_else(|| Failure::permanent("the addresses of this mail cannot be read"))?;
        let message = letter.message(&entry.id)?;
        if let Some(directory) = &self.settings.directory {
            return leave(directory, &entry.id, &letter, &message).await;
        }
        let sent = self.smtp.send_raw(&letter.envelope()?, &message).await;
        sent.map(drop).map_err(|error| {
            let text = shared::error::with_causes(&error);
            // 55x is about this mail. Others are about us, as 535: an operator can repair them.
            let category = error.status().map(|code| code.category);
            let is_refused = error.is_permanent() && category == Some(Category::MailSystem);
            let remedy = match letter.envelope.len() {
                _ if !is_refused => Remedy::Retry,
                0 | 1 => Remedy::None,
                _ => Remedy::Split(letter.one_each(&entry.payload)),
            };
            Failure { text, remedy }
        })
    }
}

/// A mail, and to whom of its recipients it is sent now.
struct Letter {
    sender: Mailbox,
    to: Vec<Mailbox>,
    envelope: Vec<Address>,
    subject: String,
    text: String,
}

impl Letter {
    fn read(payload: &Value, sender: &Mailbox) -> Option<Self> {
        let text = |name: &str| payload[name].as_str().unwrap_or_default().to_owned();
        let boxes = |name: &str| -> Option<Vec<Mailbox>> {
            payload[name].as_array()?.iter().map(|one| mailbox(one.as_str()?)).collect()
        };
        let to = boxes("to").filter(|to| !to.is_empty())?;
        let only = boxes("only").unwrap_or_default();
        let envelope = if only.is_empty() { &to } else { &only };
        Some(Self {
            sender: match payload["sender"].as_str() {
                Some(given) => mailbox(given)?,
                None => sender.clone(),
            },
            envelope: envelope.iter().map(|one| one.email.clone()).collect(),
            to,
            subject: text("subject"),
            text: text("text"),
        })
    }

    fn envelope(&self) -> Result<Envelope, Failure> {
        let sender = self.sender.email.clone();
        Envelope::new(Some(sender), self.envelope.clone()).map_err(Failure::permanent)
    }

    /// The id is the mail's own, too: a repetition is known by it.
    fn message(&self, id: &str) -> Result<Vec<u8>, Failure> {
        let domain = self.sender.email.domain();
        let mut message = Message::builder()
            .from(self.sender.clone())
            .subject(&self.subject)
            .message_id(Some(format!("<{id}@{domain}>")))
            .date_now()
            .header(ContentType::TEXT_PLAIN);
        for one in &self.to {
            message = message.to(one.clone());
        }
        let mut message = message.body(self.text.clone()).map_err(Failure::permanent)?;
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(automatic, "auto-generated".to_owned()));
        Ok(message.formatted())
    }

    /// The same mail, for one recipient at a time.
    fn one_each(&self, payload: &Value) -> Vec<Value> {
        let one = |address: &Address| {
            let mut payload = payload.clone();
            payload["only"] = json!([address.to_string()]);
            payload
        };
        self.envelope.iter().map(one).collect()
    }
}

/// Writes a file that appears when it is whole.
async fn leave(
    directory: &Directory,
    id: &str,
    letter: &Letter,
    message: &[u8],
) -> Result<(), Failure> {
    let (path, is_queue) = match directory {
        Directory::Queue(path) => (path.clone(), true),
        Directory::Debug(path) => (path.clone(), false),
    };
    let id = id.to_owned();
    let text = if is_queue { [&queued(letter), message].concat() } else { message.to_vec() };
    let write = move || if is_queue { enqueue(&path, &id, &text) } else { keep(&path, &id, &text) };
    let written = tokio::task::spawn_blocking(write).await.map_err(Failure::new)?;
    written.map_err(|error| Failure::new(format!("mail cannot be written: {error}")))
}

/// What `repoze.sendmail`, which empties such queues, wants to know.
fn queued(letter: &Letter) -> Vec<u8> {
    let to: Vec<String> = letter.envelope.iter().map(ToString::to_string).collect();
    let from = &letter.sender.email;
    format!("X-Actually-From: {from}\r\nX-Actually-To: {}\r\n", to.join(", ")).into_bytes()
}

fn enqueue(maildir: &Path, id: &str, text: &[u8]) -> std::io::Result<()> {
    for part in ["cur", "new", "tmp"] {
        std::fs::create_dir_all(maildir.join(part))?;
    }
    let written = maildir.join("tmp").join(id);
    std::fs::write(&written, text)?;
    std::fs::rename(written, maildir.join("new").join(id))
}

fn keep(directory: &Path, id: &str, text: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    std::fs::write(directory.join(format!("{id}.eml")), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(payload: &Value) -> Option<Letter> {
        Letter::read(payload, &mailbox("Default <d@x.org>").unwrap())
    }

    #[test]
    fn a_mail_has_all_recipients_in_its_head_and_nothing_is_injected() {
        let payload = json!({
            "to": ["Ann <a@x.org>", "b@x.org"], "only": ["b@x.org"],
            "subject": "Bonjour à tous\r\nBcc: evil@x.org", "text": "é\n.\nend",
        });

        let letter = letter(&payload).unwrap();
        let text = String::from_utf8(letter.message("0-1").unwrap()).unwrap();

        assert_eq!(letter.envelope.len(), 1);
        for line in [
            "From: Default <d@x.org>\r\n",
            "To: Ann <a@x.org>, b@x.org\r\n",
            "Message-ID: <0-1@x.org>\r\n",
            "Auto-Submitted: auto-generated\r\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(!head.contains("\nBcc"), "{head}");
    }

    #[test]
    fn each_recipient_can_get_it_alone() {
        let payload = json!({"to": ["A <a@x.org>", "b@x.org"], "text": "t"});

        let parts = letter(&payload).unwrap().one_each(&payload);

        assert_eq!(
            parts[0],
            json!({"to": ["A <a@x.org>", "b@x.org"], "only": ["a@x.org"], "text": "t"})
        );
        assert_eq!(parts.len(), 2);
        assert!(letter(&json!({"to": []})).is_none() && letter(&json!({"to": ["x"]})).is_none());
    }
}

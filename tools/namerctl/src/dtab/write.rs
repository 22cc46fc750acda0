//! `create`, `update` and `delete`, and the write below them.

use std::ffi::OsStr;

use hyper::Method;

use super::Context;
use super::input::Input;
use super::read::path;
use crate::http::{Ask, Body, Reply};
use crate::output::print;

impl Context {
    pub(super) async fn create(&self, name: &str, file: &OsStr) -> anyhow::Result<()> {
        let (body, _) = Input::read(file)?.body()?;
        let reply = self.write(Method::POST, name, None, Some(body)).await?;
        if !reply.is_written() {
            return Err(reply.failure(false).into());
        }
        print(&format!("Created {name}\n"))
    }

    pub(super) async fn update(
        &self,
        name: &str,
        file: &OsStr,
        version: Option<&str>,
    ) -> anyhow::Result<()> {
        let (body, inside) = Input::read(file)?.body()?;
        let version = inside.as_deref().or(version);
        let reply = self.write(Method::PUT, name, version, Some(body)).await?;
        if !reply.is_written() {
            return Err(reply.failure(true).into());
        }
        print(&format!("Updated {name}\n"))
    }

    pub(super) async fn delete(&self, name: &str) -> anyhow::Result<()> {
        let reply = self.write(Method::DELETE, name, None, None).await?;
        if !reply.is_written() {
            return Err(reply.failure(true).into());
        }
        print(&format!("Deleted {name}\n"))
    }

    /// Sends a write; `version`: only if that is the present one.
    pub(super) async fn write(
        &self,
        method: Method,
        name: &str,
        version: Option<&str>,
        body: Option<Body>,
    ) -> anyhow::Result<Reply> {
        let mut ask = Ask::new(method, path(name)?).if_match(version);
        ask.body = body;
        self.controller.send(ask).await
    }
}

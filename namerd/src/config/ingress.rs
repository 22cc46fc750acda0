//! `ingress`: whose Ingress rules are served to nodes (Kubernetes 3).

use l5d_config::Section;

use super::{Env, IngressRules, WatchOptions, kubernetes};

pub(super) fn read(top: &Section<'_>, env: Env<'_>) -> Option<IngressRules> {
    let field = top.key("ingress");
    if !field.is_present() {
        return None;
    }
    let section = field.section()?;
    let class = section.key("class");
    let (spot, class) = (class.spot(), class.string());
    if class.as_deref() == Some("") {
        let message =
            "class must not be empty; Ingresses without a class are claimed by claimUnclassed";
        section.reader().mistake(spot, message, None);
    }
    Some(IngressRules {
        api: kubernetes::api_server(&section, env),
        namespace: section.key("namespace").string(),
        class: class.unwrap_or_else(|| "linkerd".to_owned()),
        claim_unclassed: section.key("claimUnclassed").boolean().unwrap_or(true),
        startup_jitter: kubernetes::millis(section.key("startupJitter"))
            .unwrap_or(WatchOptions::default().startup_jitter),
    })
}

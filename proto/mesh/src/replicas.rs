//! States of address sets to and from messages (control plane 4.4).

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use l5d_naming::{Endpoint, EndpointSet, EndpointWeight, Replicas, metadata};

use crate::BadMessage;
use crate::v1;
use crate::v1::endpoint::{AddressFamily, Meta};
use crate::v1::replicas::{Bound, Failed, Neg, Pending, Result as State};

/// Metadata key of an endpoint's zone.
const ZONE: &str = "zone";

impl From<&Replicas> for v1::Replicas {
    fn from(replicas: &Replicas) -> Self {
        let result = match replicas {
            Replicas::Pending => State::Pending(Pending {}),
            Replicas::Neg => State::Neg(Neg {}),
            Replicas::Failed(message) => State::Failed(Failed {
                message: Some(message.to_string()),
            }),
            Replicas::Bound(set) => State::Bound(Bound {
                endpoints: set.endpoints().iter().map(Into::into).collect(),
                metadata: pair(metadata::AUTHORITY, set.authority())
                    .into_iter()
                    .collect(),
            }),
        };
        let result = Some(result);
        Self { result }
    }
}

/// A message without a result is Neg, as readers of the 1.x generation take it.
impl TryFrom<&v1::Replicas> for Replicas {
    type Error = BadMessage;

    fn try_from(replicas: &v1::Replicas) -> Result<Self, BadMessage> {
        Ok(match &replicas.result {
            Some(State::Pending(_)) => Replicas::Pending,
            Some(State::Neg(_)) | None => Replicas::Neg,
            Some(State::Failed(failed)) => {
                Replicas::Failed(failed.message.as_deref().unwrap_or_default().into())
            }
            Some(State::Bound(bound)) => {
                let endpoints = bound.endpoints.iter().map(TryInto::try_into);
                let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
                let authority = bound.metadata.get(metadata::AUTHORITY);
                let authority = authority.map(|a| a.as_str().into());
                Replicas::Bound(Arc::new(
                    EndpointSet::new(endpoints).with_authority(authority),
                ))
            }
        })
    }
}

impl From<&Endpoint> for v1::Endpoint {
    fn from(endpoint: &Endpoint) -> Self {
        let (family, address) = match endpoint.addr.ip() {
            IpAddr::V4(ip) => (AddressFamily::Inet4, ip.octets().to_vec()),
            IpAddr::V6(ip) => (AddressFamily::Inet6, ip.octets().to_vec()),
        };
        let others = endpoint.metadata.iter().flat_map(|map| map.iter());
        let mut all: HashMap<_, _> = others.map(|(k, v)| (k.clone(), v.clone())).collect();
        all.extend(pair(metadata::NODE_NAME, endpoint.node.as_ref()));
        all.extend(pair(ZONE, endpoint.zone.as_ref()));
        if endpoint.weight != EndpointWeight::ONE {
            // With a decimal point always, as the 1.x generation prints a double.
            let weight = format!("{:?}", endpoint.weight.to_f64());
            all.insert(metadata::ENDPOINT_WEIGHT.to_owned(), weight);
        }
        Self {
            inet_af: Some(family.into()),
            address: Some(address.into()),
            port: Some(endpoint.addr.port().into()),
            meta: Some(Meta {
                node_name: endpoint.node.as_deref().map(str::to_owned),
            }),
            metadata: all,
        }
    }
}

/// Metadata that does not read as what its key says is left out.
impl TryFrom<&v1::Endpoint> for Endpoint {
    type Error = BadMessage;

    fn try_from(endpoint: &v1::Endpoint) -> Result<Self, BadMessage> {
        let family = endpoint.inet_af.unwrap_or_default();
        let family = AddressFamily::try_from(family).map_err(|_| BadMessage::Family(family))?;
        let address = endpoint.address.as_deref().unwrap_or_default();
        let bad = |_| BadMessage::Address(address.len());
        let ip = match family {
            AddressFamily::Inet4 => IpAddr::from(<[u8; 4]>::try_from(address).map_err(bad)?),
            AddressFamily::Inet6 => IpAddr::from(<[u8; 16]>::try_from(address).map_err(bad)?),
        };
        let port = endpoint.port.unwrap_or_default();
        let port = u16::try_from(port).map_err(|_| BadMessage::Port(port))?;
        let mut others: BTreeMap<_, _> = endpoint.metadata.clone().into_iter().collect();
        let weight = others.remove(metadata::ENDPOINT_WEIGHT);
        let weight = weight.and_then(|w| w.parse().ok());
        let node = others.remove(metadata::NODE_NAME);
        let meta = endpoint.meta.as_ref().and_then(|m| m.node_name.clone());
        Ok(Self {
            addr: SocketAddr::new(ip, port),
            weight: weight.map_or(EndpointWeight::ONE, EndpointWeight::from_f64),
            node: node.or(meta).map(Arc::from),
            zone: others.remove(ZONE).map(Arc::from),
            metadata: (!others.is_empty()).then(|| Arc::new(others)),
        })
    }
}

fn pair(key: &str, value: Option<&Arc<str>>) -> Option<(String, String)> {
    value.map(|value| (key.to_owned(), (**value).to_owned()))
}

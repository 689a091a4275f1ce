//! What does a context say of a project's sections? Names made out for one stack, the rest as it is written.

use super::{LaunchError, Part, said};
use crate::json::{Object, Text, Value};

/// What stands in a name for the instance id of whichever stack it is for.
const INSTANCE: &str = "{instance}";

impl Part<'_> {
    /// A load balancer reaches into the stack's subnets, unless the project says into which.
    pub(super) fn elb(&self) -> Value {
        let mut elb = said(self.aws, "elb").cloned().unwrap_or(Value::Bool(false));
        let subnets: Vec<Value> = ["subnet-id", "redundant-subnet-id"].iter().filter_map(|key| said(self.aws, key).cloned()).collect();
        if let Some(map) = elb.as_object_mut().filter(|map| map.get("subnets").is_none() && !subnets.is_empty()) {
            map.set("subnets", subnets);
        }
        elb
    }

    pub(super) fn buckets(&self, id: &str) -> Result<Value, LaunchError> {
        Ok(self.by_name("s3")?.map(|(name, bucket)| (for_instance(name, id), bucket.clone())).collect::<Object>().into())
    }

    /// Every queue, and the topics it hears.
    pub(super) fn queues(&self, id: &str) -> Result<Value, LaunchError> {
        let queues = self.by_name("sqs")?.map(|(name, queue)| {
            let key = || format!("sqs.{}", name.decoded().unwrap_or_default());
            let subscriptions = match queue {
                Value::Null => None,
                Value::Object(queue) => queue.get("subscriptions"),
                other => return Err(self.wrong(&key(), "a map", other.shown())),
            };
            Ok((for_instance(name, id), self.topics(subscriptions, &format!("{}.subscriptions", key()), id)?))
        });
        Ok(queues.collect::<Result<Object, _>>()?.into())
    }

    /// A section of things by their names; an empty list, as the defaults of older files have it, is an empty map.
    fn by_name(&self, key: &str) -> Result<impl Iterator<Item = (&Text, &Value)>, LaunchError> {
        let named = match said(self.aws, key) {
            None => None,
            Some(Value::Object(named)) => Some(named),
            Some(Value::Array(items)) if items.is_empty() => None,
            Some(other) => return Err(self.wrong(key, "a map", other.shown())),
        };
        Ok(named.into_iter().flat_map(Object::iter))
    }

    /// A list of names.
    pub(super) fn topics(&self, list: Option<&Value>, key: &str, id: &str) -> Result<Value, LaunchError> {
        let name = |item: &Value| match item {
            Value::Text(name) => Ok(Value::Text(for_instance(name, id))),
            other => Err(self.wrong(key, "a list of names", other.shown())),
        };
        match list {
            None | Some(Value::Null) => Ok(Vec::new().into()),
            Some(Value::Array(items)) => Ok(items.iter().map(name).collect::<Result<Vec<_>, _>>()?.into()),
            Some(other) => Err(self.wrong(key, "a list of names", other.shown())),
        }
    }

    /// The CDN's names in full, those with DNS and those without, before whatever else is said of it.
    pub(super) fn fastly(&self, id: &str) -> Value {
        const NAMES: [&str; 2] = ["subdomains", "subdomains-without-dns"];
        let written = match said(self.aws, "fastly") {
            None => return Value::Bool(false),
            Some(Value::Object(written)) => written,
            Some(other) => return other.clone(),
        };
        let domain = self.word("domain");
        let full = |name: &Value| match (name.as_string().map(|name| name.replace(INSTANCE, id)), &domain) {
            (Some(name), Some(domain)) if !name.contains('.') => format!("{name}.{domain}").as_str().into(),
            (Some(name), _) => name.as_str().into(),
            (None, _) => name.clone(),
        };
        let names = NAMES.iter().map(|key| match said(written, key) {
            Some(Value::Array(names)) => (Text::from(*key), names.iter().map(full).collect::<Vec<_>>().into()),
            other => (Text::from(*key), other.cloned().unwrap_or_else(|| Vec::new().into())),
        });
        let rest = written.iter().filter(|(key, _)| !NAMES.iter().any(|name| key.is(name)));
        names.chain(rest.map(|(key, value)| (key.clone(), value.clone()))).collect::<Object>().into()
    }

    /// The names by which the stack is found: none without a subdomain, and none in a domain that it is not in.
    pub(super) fn hostnames(&self, id: &str) -> impl Iterator<Item = (&'static str, Value)> {
        let (subdomain, domain, internal) = (self.word("subdomain"), self.word("domain"), self.word("intdomain"));
        let label: String = id.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect();
        let hostname = subdomain.as_ref().map(|subdomain| format!("{label}--{subdomain}"));
        let within = |name: &Option<String>, domain: &Option<String>| Some(format!("{}.{}", name.as_ref()?, domain.as_ref()?));
        // Whoever uses it puts a node's number in the place of '%s'.
        let of_nodes = within(&hostname.as_ref().map(|name| format!("{name}--%s")), &internal);
        let names = [
            ("project_hostname", within(&subdomain, &domain)),
            ("int_project_hostname", within(&subdomain, &internal)),
            ("full_hostname", within(&hostname, &domain)),
            ("int_full_hostname", within(&hostname, &internal)),
        ];
        let all = [("hostname", hostname)].into_iter().chain(names);
        let all = all.chain(of_nodes.map(|name| ("int_node_hostname", Some(name))));
        all.map(|(key, name)| (key, name.map_or(Value::Null, |name| name.as_str().into())))
    }

    /// A text of the project's own data that says something.
    fn word(&self, key: &str) -> Option<String> {
        self.data.get(key)?.as_string().filter(|word| !word.is_empty())
    }
}

fn for_instance(name: &Text, id: &str) -> Text {
    name.decoded().map_or_else(|| name.clone(), |name| name.replace(INSTANCE, id).as_str().into())
}

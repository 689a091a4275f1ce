//! How does a node get its machine? It has one already, or one is ordered; then it is waited for.

use super::{Ec2Provisioning, of_node};
use crate::{
    failure::Failure,
    instance::NODE,
    inventory::listed,
    power::Ec2Power,
    refusal::{Refusal, Why},
};
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, Filter, HttpTokensState, Image, InstanceMetadataOptionsRequest, InstanceType, ResourceType,
};
use aws_smithy_types::base64;
use bldr_core::{
    fleet::{Ec2Id, Instance, InstanceState},
    ports::{Change, Order},
};
use sha2::{Digest, Sha256};

/// How many machines of one order may be gone before somebody has to look.
const MOST_GONE: usize = 20;

impl Ec2Provisioning {
    pub(super) async fn machine(&self, order: &Order) -> Result<(Instance, Change), Failure> {
        let number = order.node.number().to_string();
        let mut there = self.instances(order.node.stack()).await?;
        there.retain(|i| i.state != InstanceState::ShuttingDown && i.node_tag.as_deref() == Some(&number));
        match <[Instance; 1]>::try_from(there) {
            Ok([one]) if one.state == InstanceState::Pending => Ok((self.up(&one.id).await?, Change::NotNeeded)),
            Ok([one]) => Ok((one, Change::NotNeeded)),
            Err(none) if none.is_empty() => Ok((self.up(&self.ordered(order).await?).await?, Change::Made)),
            Err(several) => {
                let ids: Vec<_> = several.iter().map(|i| i.id.to_string()).collect();
                Err(Failure::Provisioning(Refusal::new(Why::Several, format!("the tag '{NODE}' of {} is {number}", ids.join(", ")))))
            }
        }
    }

    /// EC2 answers an order that it has had before with the machine that it gave then, even if that is gone by now, as one that never
    /// came up is: then the order is another one, and the same one again for whoever repeats it.
    async fn ordered(&self, order: &Order) -> Result<Ec2Id, Failure> {
        let mut gone = String::new();
        for _ in 0..MOST_GONE {
            let id = self.order(order, &gone).await?;
            let ids = Filter::builder().name("instance-id").values(&*id.0).build();
            let states = [InstanceState::ShuttingDown, InstanceState::Terminated];
            if listed(&self.0, ids, &states, |_| true).await?.is_empty() {
                return Ok(id);
            }
            gone = id.0.into();
        }
        Err(Failure::NeverUp { state: InstanceState::Terminated, reason: None })
    }

    async fn order(&self, order: &Order, gone: &str) -> Result<Ec2Id, Failure> {
        let machine = &order.machine;
        let image = self.image(&machine.ami).await?;
        let imds = InstanceMetadataOptionsRequest::builder().http_tokens(HttpTokensState::Required).build();
        let ask = self.0.client.run_instances().min_count(1).max_count(1).client_token(token(order, gone));
        let ask = ask.image_id(&machine.ami).instance_type(InstanceType::from(&*machine.instance_type));
        let ask = ask.set_subnet_id(machine.subnet.clone()).security_group_ids(&*order.security_group.0);
        let ask = ask.key_name(order.node.stack().as_str()).user_data(base64::encode(&order.user_data));
        let ask = ask.metadata_options(imds).block_device_mappings(root(&image, machine.root_volume_gib)?);
        let made = [ResourceType::Instance, ResourceType::Volume].map(|made| of_node(&order.node, made));
        let answer = ask.set_tag_specifications(Some(made.into())).send().await;
        let answer = answer.map_err(|error| self.0.access.failure("ec2:RunInstances", &error))?;
        let id = answer.instances().first().and_then(|i| i.instance_id());
        id.map(|id| Ec2Id(id.into())).ok_or_else(|| Failure::Malformed("a machine without an id".to_owned()))
    }

    async fn image(&self, id: &str) -> Result<Image, Failure> {
        let answer = self.0.client.describe_images().image_ids(id).send().await;
        let answer = answer.map_err(|error| self.0.access.failure("ec2:DescribeImages", &error))?;
        answer.images.unwrap_or_default().into_iter().next().ok_or_else(|| Failure::Provisioning(Refusal::new(Why::NoImage, id)))
    }

    /// Waits until it is running.
    async fn up(&self, id: &Ec2Id) -> Result<Instance, Failure> {
        let power = Ec2Power(self.0.clone());
        let mut wait = self.0.patience.begin();
        loop {
            let state = match power.look(id).await {
                Ok(look) => match look.instance.state {
                    InstanceState::Running => return Ok(look.instance),
                    state @ InstanceState::Pending => state,
                    state => return Err(Failure::NeverUp { state, reason: look.reason }),
                },
                // EC2 gives out an id before everybody there has heard of it; the machine goes on while nobody can see it.
                Err(failure) if (failure.is_transient() || matches!(failure, Failure::NoSuchInstance)) && !wait.is_over() => {
                    InstanceState::Pending
                }
                Err(failure) => return Err(failure),
            };
            if !wait.goes_on().await {
                return Err(Failure::Stuck { state, goal: InstanceState::Running, limit: self.0.patience.limit });
            }
        }
    }

    pub(super) async fn printed(&self, id: &Ec2Id) -> Result<Option<String>, Failure> {
        let ask = || self.0.client.get_console_output().instance_id(&*id.0);
        let said = |error| self.0.access.failure("ec2:GetConsoleOutput", &error);
        let answer = match ask().latest(true).send().await.map_err(said) {
            // Older types of machines show what was there some time after the start, and nothing newer.
            Err(Failure::Refused { .. }) => ask().send().await.map_err(said)?,
            answer => answer?,
        };
        let Some(output) = answer.output().filter(|output| !output.is_empty()) else { return Ok(None) };
        let bytes = base64::decode(output).map_err(|error| Failure::Malformed(format!("a console's output: {error}")))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|text| !text.is_empty()))
    }
}

/// The same for the same order of the same launch after the same machine that is gone, so that EC2 knows a repetition from a second
/// order. 64 characters are what it takes.
fn token(order: &Order, gone: &str) -> String {
    let order = format!("{}\n{}{}{gone}", order.node, order.launch, if gone.is_empty() { "" } else { "\n" });
    Sha256::digest(order).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The image's first disk, encrypted. Its size is given even where it is the image's: EC2 would know it, other clouds of that
/// API ask.
fn root(image: &Image, gib: Option<u64>) -> Result<BlockDeviceMapping, Failure> {
    let Some(device) = image.root_device_name() else {
        return Err(Failure::Malformed(format!("the image {} without a first disk", image.image_id().unwrap_or_default())));
    };
    let of_image = image.block_device_mappings().iter().find(|disk| disk.device_name() == Some(device));
    let of_image = of_image.and_then(|disk| disk.ebs()).and_then(EbsBlockDevice::volume_size);
    // EC2 says what it thinks of a size that is too large.
    let gib = gib.map(|gib| i32::try_from(gib).unwrap_or(i32::MAX)).or(of_image);
    let disk = EbsBlockDevice::builder().encrypted(true).delete_on_termination(true).set_volume_size(gib).build();
    Ok(BlockDeviceMapping::builder().device_name(device).ebs(disk).build())
}

//! Metadata and documents: what is asked for, what comes, and what of it is believed.

use super::Node;
use crate::chain::Chain;
use crate::fetch::Progress;
use crate::id::{PeerId, Signer, Source};
use crate::input::{DocumentFault, VerifiedDocument};
use crate::message::{Message, Metadata, Slice, WantMetadata};
use crate::output::{Document, Event, Output};
use crate::time::Time;
use crate::trust::{Accepted, Blame, Rejection, Role};
use crate::update::{Stage, Update};
use serde_bytes::ByteBuf;

impl Node {
    pub(super) fn want_metadata(&mut self, now: Time, signer: Signer, from: PeerId, want: &WantMetadata) {
        let Some(chain) = self.chains.get(signer) else { return };
        let found = chain.trust().metadata(&want.role, want.version).map(|(_, bytes)| bytes);
        let found = found.filter(|bytes| self.peers.may_answer(from, bytes.len() as u64, now));
        let bytes = found.map(|bytes| ByteBuf::from(bytes.to_vec()));
        let answer = Message::Metadata(Metadata { role: want.role.clone(), bytes }).about(signer);
        self.send(from, answer);
    }

    pub(super) fn metadata(&mut self, now: Time, signer: Signer, source: Source, role: &Role, bytes: Option<&[u8]>) {
        let Some(chain) = self.chains.get_mut(signer) else { return };
        let Chain { trust, refresh, .. } = chain;
        let Some(request) = refresh.answered(source, role) else { return };
        let Some(bytes) = bytes else { return refresh.failed(&request, now) };
        match trust.offer(role, bytes) {
            Ok(Accepted::AlreadyKnown) => refresh.known_already(&request, now),
            Ok(accepted @ (Accepted::New | Accepted::Disowned)) => {
                refresh.accepted(&request);
                if accepted == Accepted::Disowned {
                    let why = format!("nobody who delegates to {role} vouches for its file; ask the {signer}");
                    self.outputs.push_back(Output::Event(Event::MetadataRefused { signer, peer: None, why }));
                }
                self.outputs.push_back(Output::SaveTrust { signer, files: chain.files() });
                match (role, signer, &mut self.chains.school) {
                    (Role::Timestamp, ..) => {
                        self.judge_what_was_shown(signer);
                        self.compare_with_origin(signer, source);
                    }
                    (Role::Root, Signer::School, Some(school)) => school.forget_time(),
                    _ => {}
                }
            }
            Err(Rejection::Equivocation { .. }) => {
                refresh.failed(&request, now);
                self.contradicted(signer, bytes);
            }
            Err(rejection) => {
                refresh.failed(&request, now);
                let peer = match source {
                    Source::Peer(peer) => Some(peer),
                    Source::Origin => None,
                };
                let why = explained(&rejection);
                self.outputs.push_back(Output::Event(Event::MetadataRefused { signer, peer, why: why.clone() }));
                if let (Some(peer), Blame::Peer) = (peer, rejection.blame()) {
                    self.strike(peer, why);
                }
            }
        }
    }

    /// Nobody signs for a school but where its repository is: what peers know and that does not was signed before it was
    /// restored from a copy.
    fn compare_with_origin(&mut self, signer: Signer, source: Source) {
        if let (true, Signer::School, Source::Peer(_)) = (self.config.has_origin, signer, source)
            && let Some(version) = self.school().and_then(|school| school.chain.trust().timestamp_version())
        {
            self.outputs.push_back(Output::Event(Event::SchoolBehind { version }));
        }
    }

    pub(super) fn document_read(&mut self, document: &Document, found: Option<VerifiedDocument>) {
        let Some(update) = self.update_wanting(document) else {
            return;
        };
        match (&update.stage, found) {
            (Stage::Reading, Some(found)) => self.document_here(document, found),
            (Stage::Reading, None) => update.fetch_document(),
            _ => {}
        }
    }

    pub(super) fn slice(&mut self, now: Time, from: PeerId, slice: &Slice) {
        for update in self.updates.iter_mut() {
            let Stage::Fetching(fetch) = &mut update.stage else { continue };
            match fetch.slice(from, slice, now) {
                None => continue,
                Some(Progress::More(want)) => return self.send(from, Message::WantDocument(want)),
                Some(Progress::Whole(base, bytes)) => {
                    let document = fetch.document().clone();
                    let Stage::Fetching(fetch) = std::mem::replace(&mut update.stage, Stage::Preparing) else {
                        return;
                    };
                    update.stage = Stage::Verifying(fetch);
                    return self.outputs.push_back(Output::VerifyDocument { document, base, bytes: bytes.into() });
                }
                Some(Progress::Absurd) => {
                    fetch.bench(from, now);
                    return self.strike(from, "sent an absurd slice of a document".to_owned());
                }
            }
        }
    }

    pub(super) fn document_verified(
        &mut self,
        now: Time,
        document: &Document,
        verdict: Result<VerifiedDocument, DocumentFault>,
    ) {
        let verifying = self
            .updates
            .iter_mut()
            .find(|update| matches!(&update.stage, Stage::Verifying(fetch) if fetch.document().is(document)));
        let Some(update) = verifying else { return };
        let Stage::Verifying(mut fetch) = std::mem::replace(&mut update.stage, Stage::Reading) else { return };
        match verdict {
            Ok(found) => {
                update.giver = fetch.giver();
                self.document_here(document, found);
            }
            Err(DocumentFault::Unlawful(why)) => {
                let release = update.listed.manifest;
                update.refuse(why.clone());
                self.outputs.push_back(Output::Event(Event::Blocked { release, why }));
            }
            Err(DocumentFault::NoBase) => update.fetch_document_whole(),
            Err(DocumentFault::WrongBytes) => {
                let liar = fetch.wrong();
                if let Some(liar) = liar {
                    fetch.bench(liar, now);
                }
                update.stage = Stage::Fetching(fetch);
                if let Some(liar) = liar {
                    self.ban(liar, "sent a document that does not match its name".to_owned());
                }
            }
        }
    }

    pub(super) fn document_here(&mut self, document: &Document, found: VerifiedDocument) {
        let Some(update) = self.update_wanting(document) else {
            return;
        };
        match found {
            VerifiedDocument::Manifest(manifest) if !update.listed.is_of(&manifest) => {
                let release = update.listed.manifest;
                let why = format!("the manifest listed as {} is of another release", update.listed.path);
                update.refuse(why.clone());
                self.outputs.push_back(Output::Event(Event::Blocked { release, why }));
            }
            VerifiedDocument::Manifest(manifest) => {
                update.manifest = Some(manifest);
                update.stage = Stage::Reading;
                let chunk_list = update.document();
                self.outputs.push_back(Output::ReadDocument(chunk_list));
            }
            VerifiedDocument::Release(release) => {
                update.release = Some(release.clone());
                self.prepare(release);
            }
        }
    }

    /// The update that waits for this document. Two channels may share a chunk list, and each waits for
    /// its own.
    fn update_wanting(&mut self, document: &Document) -> Option<&mut Update> {
        self.updates.iter_mut().find(|update| update.document().is(document))
    }
}

/// An error with its causes, in one line.
fn explained(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

//! A router and the OpenAPI document that describes it, made of one list of routes: what is not in
//! the list is in neither.

mod document;
mod route;
pub(super) mod shapes;

use std::{collections::BTreeMap, sync::Arc};

use axum::{Router, middleware};
use utoipa::openapi::{
    RefOr, Schema,
    path::{PathItem, Paths},
};

pub(super) use route::Route;

use crate::{
    metrics::{Metrics, Named, measure},
    state::State,
};

/// Routes, as a router and as what is written of them.
pub(super) struct Api {
    router: Router<State>,
    paths: Paths,
    schemas: BTreeMap<String, RefOr<Schema>>,
    metrics: Arc<Metrics>,
}

impl Api {
    /// None yet; requests to those that come are counted in `metrics`.
    pub(super) fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            router: Router::new(),
            paths: Paths::new(),
            schemas: BTreeMap::new(),
            metrics: Arc::clone(metrics),
        }
    }

    /// These besides.
    pub(super) fn with(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        for route in routes {
            let (template, method) = (route.template, route.name);
            let named = Named {
                metrics: Arc::clone(&self.metrics),
                template,
                method,
            };
            let (handler, operation) = route.finish(&mut self.schemas);
            let handler = handler.layer(middleware::from_fn_with_state(named, measure));
            self.router = self.router.route(template, handler);
            let (http_method, operation) = operation;
            let item = PathItem::new(http_method, operation);
            match self.paths.paths.get_mut(template) {
                Some(known) => known.merge_operations(item),
                None => {
                    self.paths.paths.insert(template.to_owned(), item);
                }
            }
        }
        self
    }

    /// The router, and the document's text; the document says whether clients need a token.
    pub(super) fn finish(self, tokens: bool) -> (Router<State>, String) {
        let document = document::of(self.paths, self.schemas, tokens);
        // Maps with keys of text, and nothing that could fail to be written.
        let text = document
            .to_pretty_json()
            .unwrap_or_else(|error| unreachable!("a document in memory: {error}"));
        (self.router, text)
    }
}

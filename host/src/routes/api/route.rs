//! One route: who answers, and what it takes, answers and refuses.

use std::collections::BTreeMap;

use axum::{
    handler::Handler,
    routing::{MethodRouter, delete, get, post, put},
};
use http::StatusCode;
use mc2_protocol::documents::control::Problem;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        AllOfBuilder, ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Required, Response,
        ResponseBuilder, Schema,
        path::{HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{SchemaFormat, SchemaType, Type},
    },
};

use super::shapes;
use crate::state::State;

/// What any request may be refused with.
const ANY: [(u16, &[&str]); 3] = [(401, &["token"]), (429, &["rate"]), (500, &["internal"])];
/// What any request with a body may be refused with besides.
const WITH_BODY: [(u16, &[&str]); 4] = [
    (400, &["broken-body"]),
    (408, &["too-slow"]),
    (413, &["too-large"]),
    (507, &["disk-full"]),
];
/// What any request may be refused with that the runtime is asked for an answer to.
const OF_RUNTIME: [(u16, &[&str]); 3] = [
    (502, &["runtime-gone", "runtime-answer"]),
    (503, &["busy"]),
    (504, &["runtime-silent"]),
];

/// A route that is being described; the text is for whoever reads the document.
pub(in crate::routes) struct Route {
    pub(super) template: &'static str,
    pub(super) name: &'static str,
    handler: MethodRouter<State>,
    method: HttpMethod,
    operation: OperationBuilder,
    answers: BTreeMap<u16, Response>,
    problems: BTreeMap<u16, Vec<&'static str>>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Route {
    /// `GET`.
    pub(in crate::routes) fn get<T: 'static>(
        template: &'static str,
        handler: impl Handler<T, State>,
    ) -> Self {
        Self::new(template, "GET", HttpMethod::Get, get(handler))
    }

    /// `PUT`.
    pub(in crate::routes) fn put<T: 'static>(
        template: &'static str,
        handler: impl Handler<T, State>,
    ) -> Self {
        Self::new(template, "PUT", HttpMethod::Put, put(handler))
    }

    /// `POST`.
    pub(in crate::routes) fn post<T: 'static>(
        template: &'static str,
        handler: impl Handler<T, State>,
    ) -> Self {
        Self::new(template, "POST", HttpMethod::Post, post(handler))
    }

    /// `DELETE`.
    pub(in crate::routes) fn delete<T: 'static>(
        template: &'static str,
        handler: impl Handler<T, State>,
    ) -> Self {
        Self::new(template, "DELETE", HttpMethod::Delete, delete(handler))
    }

    fn new(
        template: &'static str,
        name: &'static str,
        method: HttpMethod,
        handler: MethodRouter<State>,
    ) -> Self {
        let mut route = Self {
            template,
            name,
            handler,
            method,
            operation: OperationBuilder::new(),
            answers: BTreeMap::new(),
            problems: BTreeMap::new(),
            schemas: Vec::new(),
        };
        for part in parts(template) {
            let (schema, description) = shapes::part(part);
            let parameter = ParameterBuilder::new()
                .name(part)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(description))
                .schema(Some(schema));
            route.operation = route.operation.parameter(parameter);
            route = route.refuses(400, &["path"]);
        }
        route.all(&ANY)
    }

    /// What it does, in a line.
    pub(in crate::routes) fn does(mut self, summary: &str) -> Self {
        self.operation = self.operation.summary(Some(summary));
        self
    }

    /// What else there is to know.
    pub(in crate::routes) fn explained(mut self, description: &str) -> Self {
        self.operation = self.operation.description(Some(description));
        self
    }

    /// Takes a query.
    pub(in crate::routes) fn query<Q: IntoParams>(mut self) -> Self {
        let parameters = Q::into_params(|| Some(ParameterIn::Query));
        self.operation = self.operation.parameters(Some(parameters));
        self.refuses(400, &["query"])
    }

    /// Takes a header.
    pub(in crate::routes) fn header(
        mut self,
        name: &'static str,
        required: bool,
        schema: RefOr<Schema>,
        description: &str,
    ) -> Self {
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(if required {
                Required::True
            } else {
                Required::False
            })
            .description(Some(description))
            .schema(Some(schema));
        self.operation = self.operation.parameter(parameter);
        self
    }

    /// Takes one range of what it answers.
    pub(in crate::routes) fn ranges(self) -> Self {
        let range = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .pattern(Some("^bytes=(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})?$"))
            .into();
        let about = "One range `bytes=FIRST-LAST` of at most 8 MiB.";
        let content_range = HeaderBuilder::new()
            .schema(Some(shapes::text()))
            .description(Some("Which bytes these are, and of how many."))
            .build();
        let mut part = binary("The bytes of the range that was asked for.");
        part.headers
            .insert("content-range".to_owned(), RefOr::T(content_range));
        let mut route = self
            .header("range", false, range, about)
            .answers_bytes("All of its bytes.")
            .refuses(416, &["range"]);
        route.answers.insert(206, part);
        route
    }

    /// Takes JSON.
    pub(in crate::routes) fn takes<B: ToSchema>(mut self) -> Self {
        let content = ContentBuilder::new().schema(Some(self.reference::<B>()));
        let body = RequestBodyBuilder::new()
            .content("application/json", content.build())
            .required(Some(Required::True));
        self.operation = self.operation.request_body(Some(body.build()));
        self.all(&WITH_BODY).refuses(400, &["request"])
    }

    /// Takes whatever comes, which for whoever reads it at last should be JSON.
    pub(in crate::routes) fn takes_anything(mut self) -> Self {
        let anything = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        let content = ContentBuilder::new().schema(Some(anything));
        let body = RequestBodyBuilder::new()
            .content("application/json", content.build())
            .required(Some(Required::False));
        self.operation = self.operation.request_body(Some(body.build()));
        self.all(&WITH_BODY)
    }

    /// Takes bytes as they are.
    pub(in crate::routes) fn takes_bytes(mut self, description: &str) -> Self {
        let content = ContentBuilder::new().schema(Some(bytes()));
        let body = RequestBodyBuilder::new()
            .content("application/octet-stream", content.build())
            .description(Some(description))
            // None is as good as an empty one.
            .required(Some(Required::False));
        self.operation = self.operation.request_body(Some(body.build()));
        self.all(&WITH_BODY)
    }

    /// Answers with JSON.
    pub(in crate::routes) fn answers<A: ToSchema>(
        mut self,
        status: StatusCode,
        description: &str,
    ) -> Self {
        let schema = self.reference::<A>();
        self.answers_as(status, "application/json", schema, description)
    }

    /// Answers with bytes as they are.
    pub(in crate::routes) fn answers_bytes(mut self, description: &str) -> Self {
        self.answers.insert(200, binary(description));
        self
    }

    /// Answers with text of a media type.
    pub(in crate::routes) fn answers_text(self, media_type: &str, description: &str) -> Self {
        self.answers_as(StatusCode::OK, media_type, shapes::text(), description)
    }

    /// Answers with server-sent events of this shape.
    pub(in crate::routes) fn answers_events<E: ToSchema>(mut self, description: &str) -> Self {
        let schema = self.reference::<E>();
        self.answers_as(StatusCode::OK, "text/event-stream", schema, description)
    }

    /// Answers with nothing: it is done.
    pub(in crate::routes) fn answers_nothing(mut self) -> Self {
        let nothing = ResponseBuilder::new().description("It is done.");
        self.answers.insert(204, nothing.build());
        self
    }

    /// Refuses with this status and one of these codes.
    pub(in crate::routes) fn refuses(mut self, status: u16, codes: &[&'static str]) -> Self {
        let known = self.problems.entry(status).or_default();
        for code in codes {
            if !known.contains(code) {
                known.push(code);
            }
        }
        self
    }

    /// Refuses as whatever is asked of a session's runtime.
    pub(in crate::routes) fn asks_runtime(self) -> Self {
        self.all(&OF_RUNTIME)
    }

    /// What the router needs of it, and what the document says; the shapes it names go to
    /// `schemas`.
    pub(super) fn finish(
        mut self,
        schemas: &mut BTreeMap<String, RefOr<Schema>>,
    ) -> (MethodRouter<State>, (HttpMethod, Operation)) {
        self.reference::<shapes::Problem>();
        schemas.extend(self.schemas);
        let mut operation = self
            .operation
            .operation_id(Some(operation_id(self.name, self.template)));
        for (status, answer) in self.answers {
            operation = operation.response(status.to_string(), answer);
        }
        for (status, codes) in self.problems {
            operation = operation.response(status.to_string(), problem(status, &codes));
        }
        (self.handler, (self.method, operation.build()))
    }

    fn answers_as(
        mut self,
        status: StatusCode,
        media_type: &str,
        schema: impl Into<RefOr<Schema>>,
        description: &str,
    ) -> Self {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let answer = self.answers.remove(&status.as_u16());
        // The same status may have several media types.
        let mut answer =
            answer.unwrap_or_else(|| ResponseBuilder::new().description(description).build());
        answer
            .content
            .insert(media_type.to_owned(), RefOr::T(content));
        self.answers.insert(status.as_u16(), answer);
        self
    }

    fn all(mut self, problems: &[(u16, &[&'static str])]) -> Self {
        for (status, codes) in problems {
            self = self.refuses(*status, codes);
        }
        self
    }

    /// A reference to a shape, which is then one of the document's.
    fn reference<S: ToSchema>(&mut self) -> Ref {
        let name = S::name();
        self.schemas
            .push((name.clone().into_owned(), <S as PartialSchema>::schema()));
        S::schemas(&mut self.schemas);
        Ref::from_schema_name(name)
    }
}

/// The variable parts of a path.
fn parts(template: &str) -> impl Iterator<Item = &str> {
    template
        .split('/')
        .filter_map(|piece| piece.strip_prefix('{')?.strip_suffix('}'))
}

/// A name for whoever generates a client: `get-sessions-session-jobs`.
fn operation_id(method: &str, template: &str) -> String {
    let pieces = template.trim_start_matches("/v1").split('/');
    let pieces = pieces.filter(|piece| !piece.is_empty());
    let words: Vec<&str> = pieces.map(|piece| piece.trim_matches(['{', '}'])).collect();
    match words.as_slice() {
        [] => format!("{}-root", method.to_lowercase()),
        words => format!("{}-{}", method.to_lowercase(), words.join("-")),
    }
}

fn bytes() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .format(Some(SchemaFormat::Custom("binary".to_owned())))
        .into()
}

fn binary(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(bytes())).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/octet-stream", content)
        .build()
}

/// A refusal: problem details with one of these codes.
fn problem(status: u16, codes: &[&str]) -> Response {
    let code = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some(codes.iter().copied()));
    let narrowed = ObjectBuilder::new().property("code", code);
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name(shapes::Problem::name()))
        .item(narrowed);
    let content = ContentBuilder::new()
        .schema(Some(Schema::from(schema)))
        .build();
    let listed: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let response = ResponseBuilder::new()
        .description(listed.join(", "))
        .content(Problem::MEDIA_TYPE, content);
    if !matches!(status, 429 | 503) {
        return response.build();
    }
    let seconds = HeaderBuilder::new()
        .schema(Some(shapes::count()))
        .description(Some("After how many seconds to ask again."));
    response.header("retry-after", seconds.build()).build()
}

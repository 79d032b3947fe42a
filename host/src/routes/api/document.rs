//! The document's head, and what holds for all routes.

use std::collections::BTreeMap;

use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr,
    Schema, SecurityRequirement,
    path::Paths,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

const DESCRIPTION: &str = "The untrusted half of MC²: it stores sealed objects, starts runtimes \
    and passes sealed messages on. Nothing it says is believed without a check: see \
    docs/protocol.md of this release. Every answer that is not 2xx is problem details (RFC 9457) \
    with a stable `code`.";
const TOKEN: &str = "token";

/// The document of these routes and shapes; with `tokens`, requests need one.
pub(super) fn of(paths: Paths, schemas: BTreeMap<String, RefOr<Schema>>, tokens: bool) -> OpenApi {
    let licence = LicenseBuilder::new()
        .name(env!("CARGO_PKG_LICENSE"))
        .identifier(Some(env!("CARGO_PKG_LICENSE")));
    let info = InfoBuilder::new()
        .title("MC² host")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(licence.build()));
    let components = ComponentsBuilder::new().schemas_from_iter(schemas);
    let document = OpenApiBuilder::new().info(info.build()).paths(paths);
    if !tokens {
        return document.components(Some(components.build())).build();
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of this host's configuration."));
    let components: Components = components
        .security_scheme(TOKEN, SecurityScheme::Http(bearer.build()))
        .build();
    let nothing: [&str; 0] = [];
    document
        .components(Some(components))
        .security(Some([SecurityRequirement::new(TOKEN, nothing)]))
        .build()
}

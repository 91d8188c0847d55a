# syntax=docker/dockerfile:1
# One Dockerfile for all programs; the build target selects the program:
#   docker build --target ws-server -t parley/ws-server .
# An image contains one static binary, the root certificates and a wget for health checks, but no shell. It runs as
# uid 65532 and writes only to mounted volumes.
#
# Behind a mirror, or a proxy that inspects TLS, set the sources of modules and packages and the certificate authority:
#   docker build --build-arg GOPROXY=… --build-arg GOSUMDB=off --build-arg NPM_CONFIG_REGISTRY=… \
#     --secret id=ca,src=authority.pem …

FROM node:24-bookworm-slim AS web
# The npm registry. If empty, npm uses its default.
ARG NPM_CONFIG_REGISTRY
WORKDIR /src/web-client
COPY web-client/package.json web-client/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm --mount=type=secret,id=ca \
    if [ -e /run/secrets/ca ]; then export NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    if [ -z "$NPM_CONFIG_REGISTRY" ]; then unset NPM_CONFIG_REGISTRY; fi; \
    npm ci --no-audit --no-fund
COPY web-client ./
# The operator's page contains a section of the first file, and the limits from the second.
COPY docs/operations.md ../docs/
COPY deploy/prometheus/parley.rules.yml ../deploy/prometheus/
RUN npm run build && node compress.mjs

FROM golang:1.26-bookworm AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false
# The module proxy and the checksum database. The defaults are the same as Go's.
ARG GOPROXY=https://proxy.golang.org,direct
ARG GOSUMDB=sum.golang.org
# Copy files that change rarely first, so that the downloaded modules are cached. Of the modules
# that it replaces, a module needs only the go.mod files.
COPY shared-contracts/go.mod shared-contracts/go.sum shared-contracts/
COPY shared-migrations/go.mod shared-migrations/go.sum shared-migrations/
COPY internal/devkit/go.mod internal/devkit/go.sum internal/devkit/
COPY internal/platform/go.mod internal/platform/go.sum internal/platform/
COPY internal/eventlog/go.mod internal/eventlog/go.sum internal/eventlog/
COPY chat-service/go.mod chat-service/go.sum chat-service/
COPY ws-server/go.mod ws-server/go.sum ws-server/
COPY sync-service/go.mod sync-service/go.sum sync-service/
COPY web-client/go.mod web-client/
COPY docs/go.mod docs/
# A custom certificate authority is trusted in addition to the system's.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=secret,id=ca \
    if [ -e /run/secrets/ca ]; then cat /etc/ssl/certs/ca-certificates.crt /run/secrets/ca >/tmp/ca.pem; export SSL_CERT_FILE=/tmp/ca.pem; fi; \
    for m in chat-service ws-server sync-service shared-migrations; do (cd $m && GOWORK=off go mod download) || exit 1; done
COPY . .
COPY --from=web /src/web-client/dist web-client/dist
# The build context has no git checkout, so the version is passed in. The two arguments are declared late, so that a
# new revision does not invalidate the layers above.
ARG VERSION=(devel)
ARG REVISION=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    telemetry=parley.chat/internal/platform/telemetry \
 && go build -trimpath -ldflags "-s -w -X $telemetry.linkedVersion=$VERSION -X $telemetry.linkedRevision=$REVISION" -o /out/ \
      ./chat-service/cmd/chat-service ./ws-server/cmd/ws-server ./sync-service/cmd/sync-service \
      ./shared-migrations/cmd/migrate \
 && mkdir -p /out/keys

# A static wget for the health checks, because the base image has neither a shell nor an HTTP
# client. It is BusyBox, which acts as wget when it is run under that name.
FROM busybox:1.37-musl AS wget

FROM gcr.io/distroless/static-debian12:nonroot AS base
COPY --from=wget /bin/busybox /usr/bin/wget
USER 65532:65532
ARG VERSION=(devel)
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Parley" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

FROM base AS migrate
COPY --from=build /out/migrate /usr/bin/migrate
ENTRYPOINT ["/usr/bin/migrate"]
CMD ["up"]

FROM base AS chat-service
COPY --from=build /out/chat-service /usr/bin/chat-service
# A new volume gets the owner of the directory on which it is mounted.
COPY --from=build --chown=65532:65532 /out/keys /var/lib/parley/keys
ENV JWT_KEYS_DIR=/var/lib/parley/keys
VOLUME /var/lib/parley/keys
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/bin/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["/usr/bin/chat-service"]

FROM base AS ws-server
COPY --from=build /out/ws-server /usr/bin/ws-server
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/bin/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8081/healthz"]
ENTRYPOINT ["/usr/bin/ws-server"]

FROM base AS sync-service
COPY --from=build /out/sync-service /usr/bin/sync-service
EXPOSE 8082
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["/usr/bin/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8082/healthz"]
ENTRYPOINT ["/usr/bin/sync-service"]

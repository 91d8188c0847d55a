# syntax=docker/dockerfile:1
# One file for every program; the target is the program:
#   docker build --target ws-server -t parley/ws-server .
# The images hold one static binary, the root certificates and a wget for health checks; no shell. They
# run as uid 65532 and write nowhere but into the volumes that are mounted.

FROM node:24-bookworm-slim AS web
WORKDIR /src/web-client
COPY web-client/package.json web-client/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY web-client ./
# The operator's page has a chapter of this with it.
COPY docs/operations.md ../docs/
RUN npm run build && node compress.mjs

FROM golang:1.26-bookworm AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOFLAGS=-buildvcs=false
# First what changes rarely, so that modules are downloaded once. A module needs the go.mod of those that
# it replaces, and of nothing else in the workspace.
COPY shared-contracts/go.mod shared-contracts/go.sum shared-contracts/
COPY shared-migrations/go.mod shared-migrations/go.sum shared-migrations/
COPY internal/go.mod internal/go.sum internal/
COPY chat-service/go.mod chat-service/go.sum chat-service/
COPY ws-server/go.mod ws-server/go.sum ws-server/
COPY sync-service/go.mod sync-service/go.sum sync-service/
COPY web-client/go.mod web-client/
RUN --mount=type=cache,target=/go/pkg/mod \
    for m in chat-service ws-server sync-service shared-migrations; do (cd $m && GOWORK=off go mod download) || exit 1; done
COPY . .
COPY --from=web /src/web-client/dist web-client/dist
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -trimpath -ldflags '-s -w' -o /out/ \
      ./chat-service/cmd/chat-service ./ws-server/cmd/ws-server ./sync-service/cmd/sync-service \
      ./shared-migrations/cmd/migrate \
 && mkdir -p /out/keys

# A static wget for the health checks, since the base image has neither a shell nor a client. It is
# busybox under the one name, so that is all it does.
FROM busybox:1.37-musl AS wget

FROM gcr.io/distroless/static-debian12:nonroot AS base
COPY --from=wget /bin/busybox /usr/bin/wget
USER 65532:65532

FROM base AS migrate
COPY --from=build /out/migrate /usr/bin/migrate
ENTRYPOINT ["/usr/bin/migrate"]
CMD ["up"]

FROM base AS chat-service
COPY --from=build /out/chat-service /usr/bin/chat-service
# A new volume takes over the owner of what it is mounted on.
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

#!/bin/sh
# Starts Redis with the users in users.acl. Arguments are passed to redis-server as further settings.
#
# An ACL file contains the SHA-256 of each password. This script computes them from REDIS_PASSWORD
# or, if they are set, from REDIS_CHAT_PASSWORD, REDIS_WS_PASSWORD, REDIS_SYNC_PASSWORD and
# REDIS_ADMIN_PASSWORD. So no password appears in a file or in the process list.
#
# If REDIS_TLS_DIR is set, Redis accepts only TLS. That directory must contain redis.crt and redis.key. Clients need
# no certificate, because they have a password.
set -eu
: "${REDIS_PASSWORD:?REDIS_PASSWORD is not set}"

template=${REDIS_ACL_TEMPLATE:-/etc/parley/users.acl}
users=${REDIS_ACL_FILE:-/tmp/users.acl}

hash() {
	printf %s "$1" | sha256sum | cut -d ' ' -f 1
}

umask 077
sed \
	-e "s/CHAT_PASSWORD_SHA256/$(hash "${REDIS_CHAT_PASSWORD:-$REDIS_PASSWORD}")/" \
	-e "s/WS_PASSWORD_SHA256/$(hash "${REDIS_WS_PASSWORD:-$REDIS_PASSWORD}")/" \
	-e "s/SYNC_PASSWORD_SHA256/$(hash "${REDIS_SYNC_PASSWORD:-$REDIS_PASSWORD}")/" \
	-e "s/ADMIN_PASSWORD_SHA256/$(hash "${REDIS_ADMIN_PASSWORD:-$REDIS_PASSWORD}")/" \
	"$template" >"$users"
unset REDIS_PASSWORD REDIS_CHAT_PASSWORD REDIS_WS_PASSWORD REDIS_SYNC_PASSWORD REDIS_ADMIN_PASSWORD

if [ -n "${REDIS_TLS_DIR:-}" ]; then
	set -- --port 0 --tls-port 6379 --tls-auth-clients no \
		--tls-cert-file "$REDIS_TLS_DIR/redis.crt" --tls-key-file "$REDIS_TLS_DIR/redis.key" "$@"
fi

# If Redis was killed while it was writing, its append-only file may end in the middle of a
# transaction. Redis itself would remove only the last, incomplete command (aof-load-truncated yes),
# and execute the rest of the transaction at a later start. redis-check-aof removes the whole
# transaction. Damage elsewhere in the file is left to the operator: then Redis does not start. See
# docs/operations.md.
manifest=${REDIS_DATA_DIR:-/data}/appendonlydir/appendonly.aof.manifest
if [ -f "$manifest" ] && ! checked=$(redis-check-aof "$manifest" 2>&1); then
	case $checked in
	*"Expected prefix"* | *'Expected \r\n'* | *Unexpected*) ;;
	*) echo y | redis-check-aof --fix "$manifest" ;;
	esac
fi

exec redis-server --aof-load-truncated no --aclfile "$users" "$@"

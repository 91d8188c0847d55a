package eventlog

import (
	"github.com/google/uuid"

	"parley.chat/shared-contracts/chat"
)

// appendBulkUUID appends an id as a string of the Redis protocol.
func appendBulkUUID(b []byte, id uuid.UUID) []byte {
	b = append(b, "$36\r\n"...)
	return append(chat.AppendUUID(b, id), '\r', '\n')
}

package gateway

import "parley.chat/shared-contracts/frame"

// frameLimit describes what limits a type of frame, in addition to FRAME_RATE, which limits all
// frames.
type frameLimit string

const (
	// A send that opens a direct channel is also subject to the limit of direct channels.
	limitedByMessageRate frameLimit = "the message rate limit"
	limitedByMerging     frameLimit = "merged: however many arrive, at most one is passed on per interval"
	limitedByFrameRate   frameLimit = "only FRAME_RATE: the frame changes nothing that other users see"
)

// frameLimits maps every type of frame that this server supports to its limit. All other types are
// refused.
var frameLimits = map[frame.Type]frameLimit{
	frame.Send: limitedByMessageRate, frame.Edit: limitedByMessageRate, frame.Delete: limitedByMessageRate, frame.React: limitedByMessageRate,
	frame.Typing: limitedByMerging, frame.Delivered: limitedByMerging, frame.Read: limitedByMerging,
	frame.Subscribe: limitedByFrameRate, frame.Unsubscribe: limitedByFrameRate, frame.Presence: limitedByFrameRate, frame.Auth: limitedByFrameRate, frame.Ping: limitedByFrameRate,
}

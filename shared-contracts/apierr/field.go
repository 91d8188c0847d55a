package apierr

import (
	"errors"
	"fmt"
)

// FieldCode identifies the rule that a field of a request violates. Field codes are stable, because
// clients translate them.
type FieldCode string

// The field codes. docs/openapi.yaml describes them.
const (
	FieldRequired   FieldCode = "required"
	FieldBlank      FieldCode = "blank"
	FieldLength     FieldCode = "length" // Min and Max are numbers of characters
	FieldBytes      FieldCode = "bytes"  // Max is a number of bytes
	FieldRange      FieldCode = "range"
	FieldType       FieldCode = "type"
	FieldEnum       FieldCode = "enum"
	FieldUUID       FieldCode = "uuid"
	FieldIDs        FieldCode = "ids"
	FieldCharacters FieldCode = "characters"
	FieldRepeated   FieldCode = "repeated"
	FieldInvalid    FieldCode = "invalid"

	FieldUsernameCharacters FieldCode = "username_characters"
	FieldMixedScripts       FieldCode = "mixed_scripts"
	FieldReserved           FieldCode = "reserved"
	FieldTaken              FieldCode = "taken"
	FieldLookalike          FieldCode = "lookalike"
	FieldEmail              FieldCode = "email"
	FieldCommonPassword     FieldCode = "common_password"
	FieldOwnName            FieldCode = "own_name"
	FieldWrong              FieldCode = "wrong"
	FieldEmoji              FieldCode = "emoji"

	FieldHTTPS              FieldCode = "https"
	FieldPictureAddress     FieldCode = "picture_address"
	FieldPictureUnreachable FieldCode = "picture_unreachable"
	FieldPictureFormat      FieldCode = "picture_format"
	FieldPictureSize        FieldCode = "picture_size"   // Max is a number of MiB
	FieldPicturePixels      FieldCode = "picture_pixels" // Max is a number of pixels per side
	FieldPictureDisabled    FieldCode = "picture_disabled"

	FieldOtherUser      FieldCode = "other_user"
	FieldMessage        FieldCode = "message"
	FieldCursor         FieldCode = "cursor"
	FieldCombination    FieldCode = "combination"
	FieldIdempotencyKey FieldCode = "idempotency_key"
)

// FieldCodes returns every field code.
func FieldCodes() []FieldCode {
	return []FieldCode{
		FieldRequired, FieldBlank, FieldLength, FieldBytes, FieldRange, FieldType, FieldEnum, FieldUUID, FieldIDs, FieldCharacters,
		FieldRepeated, FieldInvalid,
		FieldUsernameCharacters, FieldMixedScripts, FieldReserved, FieldTaken, FieldLookalike, FieldEmail, FieldCommonPassword,
		FieldOwnName, FieldWrong, FieldEmoji,
		FieldHTTPS, FieldPictureAddress, FieldPictureUnreachable, FieldPictureFormat, FieldPictureSize, FieldPicturePixels,
		FieldPictureDisabled,
		FieldOtherUser, FieldMessage, FieldCursor, FieldCombination, FieldIdempotencyKey,
	}
}

// RuleError describes the rule that a value violates. Its error text is Message.
type RuleError struct {
	Code    FieldCode `json:"code"`
	Message string    `json:"message"` // follows the name of the field, such as "must not be blank"
	// Min and Max are the limits of the rule, or nil if it has none. Their unit depends on the
	// code.
	Min *int64 `json:"min,omitempty"`
	Max *int64 `json:"max,omitempty"`
}

// Violates returns a RuleError with a message that can follow the field's name, such as "must not
// be blank".
func Violates(code FieldCode, format string, args ...any) *RuleError {
	return &RuleError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// AtLeast sets the rule's lower limit (Min) and returns v.
func (v *RuleError) AtLeast(limit int64) *RuleError {
	v.Min = &limit
	return v
}

// AtMost sets the rule's upper limit (Max) and returns v.
func (v *RuleError) AtMost(limit int64) *RuleError {
	v.Max = &limit
	return v
}

// Length returns a RuleError for a string that must have at least low and at most high characters.
// A limit of 0 means no limit.
func Length(low, high int64) *RuleError {
	switch {
	case high == 0:
		return Violates(FieldLength, "must have at least %d characters", low).AtLeast(low)
	case low == 0:
		return Violates(FieldLength, "must have at most %d characters", high).AtMost(high)
	}
	return Violates(FieldLength, "must have %d to %d characters", low, high).AtLeast(low).AtMost(high)
}

func (v *RuleError) Error() string { return v.Message }

// RuleErrorOf returns err as a RuleError. If err is not a RuleError, the result has the code
// FieldInvalid, and its message is the text of err.
func RuleErrorOf(err error) *RuleError {
	if v, ok := errors.AsType[*RuleError](err); ok {
		return v
	}
	return Violates(FieldInvalid, "%s", err)
}

// FieldError describes the error in one field of a request.
type FieldError struct {
	Field string `json:"field"`
	RuleError
}

// FieldOf returns a FieldError for the named field, with the rule that its value violates; see
// RuleErrorOf.
func FieldOf(name string, rule error) FieldError { return FieldError{name, *RuleErrorOf(rule)} }

// Sentence formats the error as a sentence, such as "The field name must not be blank."
func (f FieldError) Sentence() string { return "The field " + f.Field + " " + f.Message + "." }

// Invalid returns an InvalidRequest error for one field. rule is a RuleError, or another error
// whose text can follow the field's name.
func Invalid(field string, rule error) *Error { return InvalidField(InvalidRequest, field, rule) }

// InvalidField is like Invalid, with another code.
func InvalidField(code Code, field string, rule error) *Error {
	f := FieldOf(field, rule)
	return &Error{Code: code, Message: f.Sentence(), Fields: []FieldError{f}}
}

// InvalidFields returns an InvalidRequest error for the fields, or nil if there are none.
func InvalidFields(fields []FieldError) error {
	if len(fields) == 0 {
		return nil
	}
	return &Error{Code: InvalidRequest, Fields: fields, Message: fields[0].Sentence()}
}

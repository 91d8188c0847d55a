import { ApiError, ClientError } from "@parley/client";
import { describe, expect, it } from "vitest";

import { errorText } from "./toasts";

describe("errorText", () => {
  it.each([
    [new ApiError(409, "name_taken", "The name is in use."), "This name is already taken."],
    [new ApiError(403, "forbidden", "you are banned from this channel"), "You are banned from this channel."],
    [new ApiError(422, "invalid_request", "x", [{ field: "name", code: "blank", message: "must not be blank" }, { field: "bio", code: "length", message: "must have at most 500 characters", max: 500 }]), "Name can't be empty. About you can have at most 500 characters."],
    [new ClientError("invalid_body", "The field body must not be blank.", 0, [{ field: "body", code: "blank", message: "must not be blank" }]), "Message can't be empty."],
    [new ClientError("offline", "no connection"), "Can't reach the server."],
    [new ApiError(418, "teapot" as never, "short and stout"), "Short and stout."],
    [new Error("odd"), "Odd."],
    ["", "Something went wrong."],
  ])("of %s", (error, want) => {
    expect(errorText(error)).toBe(want);
  });
});

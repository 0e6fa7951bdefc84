// What the page says when something is wrong.

/** An error that the user can fix; its message is shown on the page. */
export class UserError extends Error {}

/** The server requires a token, or another one. */
export class TokenError extends UserError {}

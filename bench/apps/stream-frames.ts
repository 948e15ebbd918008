/** The two frames of the WebSocket echo: what clients say, masked, and what servers answer. */
const MESSAGE_BYTES = 125;

export const MESSAGE_FRAME = Buffer.concat([
  Buffer.from([0x82, 0x80 | MESSAGE_BYTES, 1, 2, 3, 4]),
  Buffer.alloc(MESSAGE_BYTES, 7),
]);
export const MESSAGE_FRAME_BYTES = MESSAGE_FRAME.length;
export const ANSWER_FRAME = Buffer.concat([Buffer.from([0x82, MESSAGE_BYTES]), Buffer.alloc(MESSAGE_BYTES, 7)]);

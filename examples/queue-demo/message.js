/** `{"id": …, "text": …}`; anything else is a message all the same, and its own id. */
export function readMessage(text) {
  try {
    const value = JSON.parse(text);
    if (typeof value?.id === 'string') return { id: value.id, text: String(value.text ?? '') };
  } catch {
    // Somebody has written it by hand.
  }
  return { id: text.slice(0, 200), text };
}

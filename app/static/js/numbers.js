/* Quantities as people write and read them. */

export const group = (number) => number.toString().replace(/\B(?=(\d{3})+$)/g, ",");

/* A whole number of tonnes, or null.  BigInt, because quantities go up to 63 bits. */
export function quantityOf(text) {
  const plain = text.trim().replace(/,/g, "");
  return /^\d{1,19}$/.test(plain) ? BigInt(plain) : null;
}

// Looks again and again whether there is something new: while the page is seen, and somebody is there.

const EVERY_MS = 2_000;
const SLOWEST_MS = 30_000;
/** A page that nobody touches must not keep its session alive for ever. */
const ALONE_MS = 60 * 60 * 1_000;

/**
 * Calls `look` every two seconds, less often while it fails; it answers whether it said what it found. `changed`
 * is told why it stands still: "paused", "alone", or an error after which it tries again; null when it goes on.
 */
export class Live {
  #look;
  #changed;
  #timer = null;
  #looking = false;
  #wait = EVERY_MS;
  #touched = Date.now();
  isOn = false;

  constructor(look, changed) {
    this.#look = look;
    this.#changed = changed;
    document.addEventListener("visibilitychange", () => this.#next(0));
    for (const name of ["pointerdown", "keydown", "scroll"]) {
      document.addEventListener(name, () => {
        this.#touched = Date.now();
      }, { passive: true });
    }
  }

  start() {
    this.isOn = true;
    this.#touched = Date.now();
    this.#wait = EVERY_MS;
    this.#changed(null);
    this.#next(this.#wait);
  }

  stop(why = "paused") {
    this.isOn = false;
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#changed(why);
  }

  #next(wait) {
    clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.isOn || this.#looking || document.hidden) return;
    if (Date.now() - this.#touched > ALONE_MS) return this.stop("alone");
    this.#timer = setTimeout(() => this.#round(), wait);
  }

  async #round() {
    this.#looking = true;
    try {
      const hasSpoken = await this.#look();
      if (this.#wait > EVERY_MS && this.isOn && !hasSpoken) this.#changed(null);
      this.#wait = EVERY_MS;
    } catch (error) {
      this.#wait = Math.min(2 * this.#wait, SLOWEST_MS);
      if (this.isOn) this.#changed(error);
    }
    this.#looking = false;
    this.#next(this.#wait);
  }
}

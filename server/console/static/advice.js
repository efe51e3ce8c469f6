"use strict";
/* The advisor's decision, as retrain/cost.py, retrain/advice.py and retrain/advice_words.py make it in Python: function
   by function, in their order and with their names. The tables come from Python (advisor.json). A test runs both over
   thousands of situations and wants every field to be equal, so arithmetic keeps the order that it has there. */

function advise(situation, tables) {
  const K = tables.constants;
  const backbone = situation.backbone;

  // retrain/cost.py

  const trainingRows = Math.max(1, rounded(situation.rows * K.TRAIN_SHARE));
  const validationRows = rounded(situation.rows * K.VALIDATION_SHARE);
  const rowTokens = backbone.positions === null ? Math.min(situation.tokens, backbone.max_tokens) : backbone.positions;
  const batchRows = trainingRows < K.FEW_ROWS ? K.BATCH_ROWS_FEW : K.BATCH_ROWS;
  const stepsAnEpoch = Math.ceil(trainingRows / batchRows);

  function trainedLayers(strategy) {
    if (strategy === "partial") return Math.max(1, Math.floor(backbone.layers / K.PARTIAL_SHARE));
    return strategy === "full" ? backbone.layers : 0;
  }

  function trainedNumbers(strategy) {
    const head = (backbone.hidden + 1) * situation.classes;
    if (strategy === "lora") return head + K.LORA_RANK * backbone.lora_width;
    if (strategy === "partial") {
      const body = backbone.parameters - backbone.embeddings;
      return head + Math.floor((body * trainedLayers(strategy)) / backbone.layers);
    }
    return strategy === "full" ? head + backbone.parameters : head;
  }

  function estimate(strategy, epochs, rowsAtOnce) {
    const costs = tables.costs[situation.device];
    const cores = situation.device === "cuda" ? 1 : Math.min(situation.cores, K.MOST_CORES);
    const numbers = trainedNumbers(strategy);
    const forward = 2 * (backbone.parameters - backbone.embeddings) * rowTokens;
    const steps = epochs * stepsAnEpoch;
    const updates = (steps * (costs.step_s + costs.update_s * numbers)) / cores;
    const weights = costs.process_bytes + 4 * backbone.parameters + 12 * numbers;
    const taught = trainingRows, watched = validationRows;
    if (strategy === "head") {
      const features = ((taught + watched) * forward) / (costs.embed_flops_a_core * cores);
      const fitting = (epochs * (3 * taught + watched) * 2 * numbers) / (costs.train_flops_a_core * cores);
      const kept = 4 * (taught + watched) * backbone.hidden;
      return { seconds: K.START_S + features + fitting + updates, bytes: weights + kept };
    }
    const reached = strategy === "lora" ? backbone.layers : trainedLayers(strategy);
    const backward = ((forward * reached) / backbone.layers) * (strategy === "lora" ? 1 : 2);
    const operations = epochs * (taught * (forward + backward) + watched * forward);
    const longest = backbone.positions === null ? Math.min(backbone.max_tokens, K.PEAK_TOKENS * rowTokens) : rowTokens;
    const kept = K.ACTIVATION_BYTES * rowsAtOnce * longest * reached * backbone.hidden;
    return { seconds: K.START_S + operations / (costs.train_flops_a_core * cores) + updates, bytes: weights + kept };
  }

  // retrain/advice.py

  const gain = ((1 - situation.similarity) * K.MOST_OF_ROOM * trainingRows) / (trainingRows + K.HALF_ROWS);
  const room = 1 - situation.similarity;
  const leastForFull = backbone.lora_width ? K.FULL_ROWS : K.FULL_ROWS_WITHOUT_LORA;
  const rowsForFull = room > 0 ? 100 * rounded(leastForFull / room / 100) : 0;
  const holds = (cost) => situation.memory_bytes === null || cost.bytes <= situation.memory_bytes;
  const inTime = (cost) => situation.time_s === null || cost.seconds <= situation.time_s;
  const usualEpochs = (strategy) =>
    Math.max(tables.epochs[strategy], Math.min(K.MOST_EPOCHS, Math.ceil(K.LEAST_STEPS / stepsAnEpoch)));

  function wantedStrategy() {
    if (gain < K.WORTH_TRAINING) return "head";
    if (rowsForFull > 0 && rowsForFull <= trainingRows) return "full";
    return backbone.lora_width ? "lora" : "partial";
  }

  function option(strategy) {
    let atOnce = batchRows;
    while (atOnce > 1 && !holds(estimate(strategy, 1, atOnce))) atOnce = Math.floor(atOnce / 2);
    let epochs = usualEpochs(strategy);
    const least = Math.ceil(epochs / 3);
    let cost = estimate(strategy, epochs, atOnce);
    while (epochs > least && !inTime(cost)) {
      epochs -= 1;
      cost = estimate(strategy, epochs, atOnce);
    }
    return { strategy, epochs, rows_at_once: atOnce, ...cost, fits: holds(cost) && inTime(cost) };
  }

  function groups(strategy) {
    const rates = tables.rates[strategy];
    const width = Math.max(1, Math.min(backbone.hidden, K.WIDEST_HIDDEN) / K.REFERENCE_HIDDEN);
    const top = strategy === "partial" ? trainedLayers("partial") : Math.floor(backbone.layers / 2);
    const split = backbone.layers - top;
    const lower = split === 0 ? "embeddings" : `embeddings and ${layers(0, split)}`;
    return [
      { name: "lower", holds: lower, learning_rate: rates.lower / (width * width) },
      { name: "middle", holds: layers(split, backbone.layers), learning_rate: rates.middle / (width * width) },
      { name: "head", holds: "the new head", learning_rate: rates.head / width },
    ];
  }

  const offered = K.LADDER.filter((one) => one !== "lora" || backbone.lora_width);
  const wanted = wantedStrategy();
  const options = offered.map(option);
  const affordable = options.slice(0, offered.indexOf(wanted) + 1).filter((one) => one.fits);
  const chosen = affordable.length ? affordable[affordable.length - 1] : options[0];
  const strategy = chosen.strategy;
  const totalSteps = chosen.epochs * stepsAnEpoch;

  // retrain/advice_words.py

  const plural = (number, word) => (number === 1 ? word : `${word}s`);
  const price = (one) => `${duration(one.seconds)} and ${size(one.bytes)}`;
  const optionOf = (name) => options.find((one) => one.strategy === name);
  const budget = [
    ...(situation.time_s === null ? [] : [duration(situation.time_s)]),
    ...(situation.memory_bytes === null ? [] : [size(situation.memory_bytes)]),
  ].join(" and ");

  function whatDataSays() {
    const { rows, classes } = situation;
    const each = `, ${count(Math.floor(trainingRows / classes))} for each of ${count(classes)} classes`;
    return (
      `Of ${count(rows)} labelled ${plural(rows, "row")}, ${count(trainingRows)} can be trained on` +
      `${classes > 1 ? each : ""}, and at a similarity of ${hundredths(situation.similarity)} training ` +
      `the backbone may add some ${points(gain)} points to a head on frozen features.`
    );
  }

  function whatIsTrained() {
    const trained = trainedNumbers(strategy);
    const share = percent(trained / backbone.parameters);
    if (strategy !== wanted) {
      return (
        `${capital(tables.names[wanted])} would be the choice but needs ${price(optionOf(wanted))}, ` +
        `so what remains is ${tables.names[strategy]}, which trains ${count(trained)} parameters, ${share} of the base.`
      );
    }
    switch (strategy) {
      case "head":
        return (
          `That is less than the ${points(K.WORTH_TRAINING)} point from which training it pays, so the base stays ` +
          `frozen and only a head of ${count(trained)} parameters is trained.`
        );
      case "partial":
        return (
          `The base has no layers for LoRA, so the top ${count(trainedLayers(strategy))} of ` +
          `${count(backbone.layers)} layers are trained, ${share} of its parameters.`
        );
      case "lora": {
        const full = rowsForFull ? `, ${count(rowsForFull)} at this similarity` : "";
        return (
          `LoRA of rank ${K.LORA_RANK} trains ${count(trained)} parameters, ${share} of the base, and does as well ` +
          `as training all of them until there are very many rows${full}.`
        );
      }
      default:
        return (
          `From ${count(rowsForFull)} training rows on, at this similarity, changing every weight pays, ` +
          `so all ${count(trained)} parameters are trained.`
        );
    }
  }

  function whatItTakes() {
    if (!chosen.fits) {
      return (
        `Nothing fits into ${budget}: even ${tables.names[strategy]} takes ${duration(chosen.seconds)} ` +
        `and ${size(chosen.bytes)}, so allow that much, or take a smaller base or fewer rows.`
      );
    }
    const cut = chosen.epochs < usualEpochs(strategy) ? ` instead of ${count(usualEpochs(strategy))}` : "";
    const within = budget ? `, within ${budget}` : "; no limit was set";
    const where = situation.device === "cuda" ? "a GPU" : `${count(situation.cores)} ${plural(situation.cores, "core")}`;
    return (
      `${count(chosen.epochs)} ${plural(chosen.epochs, "epoch")}${cut}, ${count(totalSteps)} steps in all, take ` +
      `about ${duration(chosen.seconds)} and ${size(chosen.bytes)} on ${where}${within}.`
    );
  }

  function whyNot(one) {
    if (offered.indexOf(one.strategy) > offered.indexOf(wanted)) {
      if (one.strategy === "full" && wanted !== "head") {
        const needed = `it pays from ${count(rowsForFull)} training rows on at this similarity`;
        return rowsForFull ? `${needed}, and takes ${duration(one.seconds)}` : "there is nothing to gain";
      }
      return `it may add ${points(gain)} points at most, for ${duration(one.seconds)}`;
    }
    if (!one.fits) return `it needs ${price(one)}, more than ${budget}`;
    if (one.strategy === "head") return `it would leave the ${points(gain)} points that training the backbone may add`;
    const better = strategy === "lora" ? "did better where both were tried" : "may reach more with so many rows";
    return `${tables.names[strategy]} fits too, and ${better}`;
  }

  function rejected() {
    const found = {};
    for (const one of options) if (one.strategy !== strategy) found[one.strategy] = whyNot(one);
    if (!backbone.lora_width) found.lora = "the base has no linear layers that LoRA could change";
    found.scratch =
      `it would forget all that the base learned, and ${count(trainingRows)} training rows cannot ` +
      "replace that; it is a baseline, never advice";
    return found;
  }

  function notes() {
    const found = [];
    if (situation.classes > 1 && trainingRows < K.FEW_A_CLASS * situation.classes) {
      found.push(`Fewer than ${K.FEW_A_CLASS} training rows a class: more labels are worth more than any strategy.`);
    }
    if (chosen.rows_at_once < batchRows) {
      const atOnce = count(chosen.rows_at_once);
      found.push(`Memory holds ${atOnce} of the ${batchRows} rows of a batch at once: add up their gradients.`);
    }
    if (situation.device === "cuda") {
      found.push("What a GPU does was assumed, not measured: take time and memory as an order of magnitude.");
    }
    if (situation.task !== K.TRAINED_HERE) {
      found.push("driftgate itself trains text classification; take this to where you train.");
    }
    return found;
  }

  const lora = strategy === "lora";
  return {
    strategy,
    fits: chosen.fits,
    gain,
    frozen_layers: [...Array(backbone.layers - trainedLayers(strategy)).keys()],
    embeddings_frozen: strategy !== "full",
    groups: groups(strategy),
    rank: lora ? K.LORA_RANK : 0,
    alpha: lora ? 2 * K.LORA_RANK : 0,
    targets: lora ? backbone.lora_targets : [],
    epochs: chosen.epochs,
    batch_rows: batchRows,
    rows_at_once: chosen.rows_at_once,
    total_steps: totalSteps,
    warmup_steps: Math.max(1, Math.floor(totalSteps * K.WARMUP_RATIO)),
    schedule: K.SCHEDULE,
    trained: trainedNumbers(strategy),
    seconds: chosen.seconds,
    bytes: chosen.bytes,
    options,
    why: [whatDataSays(), whatIsTrained(), whatItTakes()],
    rejected: rejected(),
    notes: notes(),
  };
}

function layers(first, end) {
  return end - first === 1 ? `layer ${first}` : `layers ${first} to ${end - 1}`;
}

function count(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

function duration(seconds) {
  if (seconds < 90) return `${rounded(seconds)} s`;
  if (seconds < 5400) return `${rounded(seconds / 60)} min`;
  return seconds < 172800 ? `${tenths(seconds / 3600)} h` : `${count(rounded(seconds / 86400))} days`;
}

function size(amount) {
  return amount < 2 ** 30 ? `${rounded(amount / 2 ** 20)} MiB` : `${tenths(amount / 2 ** 30)} GiB`;
}

function percent(share) {
  return share < 0.01 ? `${hundredths(share * 100)} %` : `${tenths(share * 100)} %`;
}

function points(share) {
  return tenths(share * 100);
}

function rounded(value) {
  return Math.floor(value + 0.5);
}

function tenths(value) {
  const all = rounded(value * 10);
  return all % 10 ? `${count(Math.floor(all / 10))}.${all % 10}` : count(all / 10);
}

function hundredths(value) {
  const all = rounded(value * 100);
  return `${count(Math.floor(all / 100))}.${String(all % 100).padStart(2, "0")}`;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}

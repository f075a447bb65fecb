# Writes expected.csv: what R's `survey` says about reviews.csv.
# Run in this folder: Rscript reference.R      (values committed: R 4.2.2, survey 4.1.1)
suppressPackageStartupMessages(library(survey))
options(survey.lonely.psu = "adjust") # a stratum of one unit is centred at the grand mean

reviews <- read.csv("reviews.csv", colClasses = c(conversation_id = "character"))
# A turn without a conversation is a unit of its own.
reviews$unit <- ifelse(reviews$conversation_id == "", reviews$request_id, reviews$conversation_id)
reviews$weight <- 1 / reviews$inclusion_probability
# Units of the stratum's population; no correction where probabilities within a stratum differ.
reviews$population <- ave(seq_len(nrow(reviews)), reviews$stratum, FUN = function(rows) {
  probabilities <- unique(reviews$inclusion_probability[rows])
  units <- length(unique(reviews$unit[rows]))
  if (length(probabilities) == 1) units / probabilities else Inf
})
# nest: a conversation that reaches into two strata is a unit of each.
design <- svydesign(
  ids = ~unit, strata = ~stratum, weights = ~weight, fpc = ~population, data = reviews, nest = TRUE
)

describe <- function(domain, level) {
  inside <- if (domain == "all") reviews$of == 1 else reviews$of == 1 & reviews$domain == domain
  whole <- update(design, x = as.numeric(inside), y = as.numeric(inside & reviews$hit == 1))
  part <- subset(whole, x == 1)
  ratio <- svyratio(~y, ~x, whole)
  average <- svymean(~y, part)
  # Effective sample size with Korn and Graubard's correction, as svyciprop computes it.
  spread <- qt((1 - level) / 2, c(nrow(part) - 1, degf(part)))
  effective <- coef(average) * (1 - coef(average)) / vcov(average) * (spread[1] / spread[2])^2
  bounds <- attr(svyciprop(~y, part, method = "beta", level = level), "ci")
  data.frame(
    domain = domain, level = level, n = nrow(part), df = degf(part),
    ratio = coef(ratio)[[1]], ratio_se = SE(ratio)[[1]],
    mean = coef(average)[[1]], mean_se = SE(average)[[1]],
    effective = effective[[1]], low = bounds[[1]], high = bounds[[2]]
  )
}
rows <- do.call(rbind, lapply(c("all", sort(unique(reviews$domain))), function(domain) {
  rbind(describe(domain, 0.95), describe(domain, 0.90))
}))
figures <- c("ratio", "ratio_se", "mean", "mean_se", "effective", "low", "high")
rows[figures] <- lapply(rows[figures], function(column) sprintf("%.17g", column))
write.csv(rows, "expected.csv", row.names = FALSE, quote = FALSE)

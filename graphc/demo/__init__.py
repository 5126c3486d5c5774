"""`graphc train`: handwritten digits, learned by a network whose gradient you can read. A program that uses graphc."""
